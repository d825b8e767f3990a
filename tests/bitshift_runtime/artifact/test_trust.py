"""Whom TLS trusts where artifacts are read: public authorities always, and the user's own by name."""

import ssl

import pytest
import trustme

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact.fetch import fetch
from bitshift_runtime.artifact.source import CA_FILE, http_client
from tests.bitshift_runtime.artifact.loopback import Loopback

DATA = b"weights" * 1000
OWN = trustme.CA()


class Store(Loopback):
    """One file at every path."""

    def bytes_of(self, path, query, headers):
        return DATA


@pytest.fixture
def store():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    OWN.issue_cert("127.0.0.1").configure_cert(tls)
    with Store().started(tls) as started:
        yield started


def fetched(store, target):
    with http_client() as client:
        fetch(f"{store.url}/m.gguf", target, "", client, lambda *_: None)


def test_an_authority_of_ones_own_is_trusted_once_it_is_named(store, tmp_path, monkeypatch):
    OWN.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    monkeypatch.setenv(CA_FILE, str(tmp_path / "ca.crt"))
    fetched(store, tmp_path / "m.gguf")

    assert (tmp_path / "m.gguf").read_bytes() == DATA


def test_a_server_that_nobody_vouches_for_is_refused_with_the_way_out(store, tmp_path):
    with pytest.raises(ArtifactError, match=r"spec\.sources\.caBundle") as caught:
        fetched(store, tmp_path / "m.gguf")

    assert caught.value.reason == "ArtifactUnreachable"


def test_public_authorities_stay_trusted_beside_ones_own(tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    OWN.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    monkeypatch.setenv(CA_FILE, str(tmp_path / "ca.crt"))
    with http_client() as client:
        trusted = client._transport._pool._ssl_context.get_ca_certs()

    assert len(trusted) > 50


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "not-pem"])
def test_a_bundle_that_holds_no_certificates_is_told(content, tmp_path, monkeypatch):
    if content:
        (tmp_path / "ca.crt").write_text(content)
    monkeypatch.setenv(CA_FILE, str(tmp_path / "ca.crt"))
    with pytest.raises(ArtifactError, match=r"spec\.sources\.caBundle") as caught:
        http_client()

    assert caught.value.reason == "CaBundleUnreadable"
