"""Turns are taken in a cluster at play here, so its gateway is the one that is asked."""

import pytest

from bitshift_operator.cluster import routing
from tests.play import acting_gateway


@pytest.fixture(autouse=True)
def gateway(monkeypatch):
    monkeypatch.setattr(routing, "probe", acting_gateway)
