"""A fake API server and a client that speaks to it, for tests that need no cluster."""

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from bitshift_operator.cluster.client import Kube
from tests.fake_api import FakeApi


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi.started() as api:
        yield api


@pytest.fixture
async def kube(api: FakeApi) -> AsyncIterator[Kube]:
    async with Kube(ApiClient(Configuration(host=api.url)), timeout_seconds=5) as kube:
        yield kube
