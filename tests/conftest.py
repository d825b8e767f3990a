"""What holds for all fast tests: examples may take their time, and nobody out there is asked, so nobody is trusted."""

import tempfile
from collections.abc import Iterator

import pytest
import trustme
from hypothesis import settings

from tests.examples import examples

settings.register_profile("unhurried", deadline=None, max_examples=examples(100))
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def one_authority() -> Iterator[None]:
    """Trust one authority instead of all public ones, which every TLS client would take 40 ms to read."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file, pytest.MonkeyPatch.context() as patch:
        file.write(trustme.CA(organization_name="Nobody").cert_pem.bytes())
        file.flush()
        patch.setenv("SSL_CERT_FILE", file.name)
        yield
