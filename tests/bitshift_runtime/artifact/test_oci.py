"""`oci://`: files of a manifest, whether they are blobs of their own or lie in an image's layers."""

import hashlib
import io
import json
import tarfile

import httpx
import pytest

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact.credentials import Credentials
from bitshift_runtime.artifact.fetch_tree import fetch_tree
from bitshift_runtime.artifact.inspect import inspect
from bitshift_runtime.artifact.oci import OciSource
from tests.bitshift_core.artifact.builders import gguf
from tests.bitshift_runtime.artifact.loopback import Registry
from tests.bitshift_runtime.artifact.test_inspect import sharded

RAW, TAR = "application/vnd.cncf.model.weight.v1.raw", "application/vnd.oci.image.layer.v1.tar"
GGUF = gguf()


@pytest.fixture
def registry():
    with Registry().started() as started:
        yield started


@pytest.fixture
def client():
    with httpx.Client(follow_redirects=True) as made:
        yield made


def a_source(client, uri, **credentials):
    return OciSource(uri, client, Credentials(**credentials))


def refusal(client, uri, **credentials):
    with pytest.raises(ArtifactError) as caught:
        a_source(client, uri, **credentials)
    return caught.value.reason, str(caught.value)


def blobs(files):
    return [(data, RAW, name) for name, data in files.items()]


def tar(files):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return raw.getvalue()


def test_a_tag_is_pinned_to_the_digest_of_its_manifest(registry, client):
    digest = registry.push("v1", blobs({"m.gguf": GGUF}))
    source = a_source(client, f"{registry.address}:v1")

    assert source.pinned == f"{registry.address}@{digest}"
    registry.push("v1", blobs({"m.gguf": b"other"}))
    assert a_source(client, source.pinned).size("m.gguf") == len(GGUF)


def test_facts_of_blobs_carry_the_registrys_digests(registry, client):
    registry.push("v1", blobs(sharded()))
    facts = inspect(a_source(client, f"{registry.address}:v1"), lambda *_: None)

    assert all(file.sha256 == f"sha256:{hashlib.sha256(sharded()[file.name]).hexdigest()}" for file in facts.files)
    assert not a_source(client, f"{registry.address}:v1").mountable


def test_files_of_an_images_layers_are_read_by_range_and_upper_layers_win(registry, client, tmp_path):
    base = {f"models/chat/{name}": data for name, data in sharded().items()} | {"models/chat/config.json": b"{}"}
    over = {"models/chat/config.json": sharded()["config.json"], "models/chat/.wh.old.json": b""}
    layers = [(tar(base | {"models/chat/old.json": b"{}"}), TAR, ""), (tar(over), TAR, "")]
    digest = registry.push("v1", layers)
    source = a_source(client, f"{registry.address}:v1")
    fetch_tree(source, tmp_path, inspect(source, lambda *_: None).weights_digest, lambda *_: None)

    assert source.mountable and source.pinned == f"{registry.address}@{digest}/models/chat"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name[0] != "."} == sharded()
    assert all("range" in headers for path, _, headers in registry.asked if "/blobs/" in path)


@pytest.mark.parametrize(
    ("credentials", "mountable"),
    [({"registry_login": ("me", "secret")}, False),
     ({"registry_config": '{"auths": {"HOST": {"username": "me", "password": "secret"}}}'}, True)],
)  # fmt: skip
def test_an_image_that_nodes_could_not_pull_is_not_mountable(client, credentials, mountable):
    with Registry(login=("me", "secret")).started() as registry:
        registry.push("v1", [(tar({"m.gguf": GGUF}), TAR, "")])
        host = registry.url.removeprefix("http://")
        said = {
            key: value.replace("HOST", host) if key.endswith("config") else value for key, value in credentials.items()
        }

        assert a_source(client, f"{registry.address}:v1", **said).mountable is mountable


def test_a_model_among_several_is_named_by_its_path(registry, client):
    registry.push("v1", [(tar({"a/m.gguf": GGUF, "b/m.gguf": b"other"}), TAR, "")])

    assert a_source(client, f"{registry.address}:v1/a/m.gguf").size("m.gguf") == len(GGUF)


def test_an_index_leads_to_the_manifest_for_linux(registry, client):
    held = registry.push("linux", blobs({"m.gguf": GGUF}))
    other = {"digest": "sha256:" + 64 * "0", "platform": {"os": "windows"}}
    index = {"manifests": [other, {"digest": held, "platform": {"os": "linux", "architecture": "arm64"}}]}
    top = registry.put("v1", json.dumps(index).encode())

    assert a_source(client, f"{registry.address}:v1").pinned == f"{registry.address}@{top}"
    assert a_source(client, f"{registry.address}:v1").names() == ("m.gguf",)


@pytest.mark.parametrize(
    "credentials",
    [
        {"registry_login": ("me", "secret")},
        {"registry_config": '{"auths": {"HOST": {"username": "me", "password": "secret"}}}'},
        {"registry_config": '{"auths": {"https://HOST/v2/": {"auth": "bWU6c2VjcmV0"}}}'},
    ],
)
def test_a_private_registry_is_read_with_a_login(client, credentials):
    with Registry(login=("me", "secret")).started() as registry:
        registry.push("v1", blobs({"m.gguf": GGUF}))
        host = registry.url.removeprefix("http://")
        credentials = {
            key: value.replace("HOST", host) if isinstance(value, str) else value for key, value in credentials.items()
        }
        source = a_source(client, f"{registry.address}:v1", **credentials)

        assert source.read("m.gguf", 0, 4) == b"GGUF"


def test_a_token_that_ran_out_is_asked_for_again(client, tmp_path):
    with Registry(login=("me", "secret"), token_requests=2).started() as registry:
        registry.push("v1", blobs(sharded()))
        source = a_source(client, f"{registry.address}:v1", registry_login=("me", "secret"))
        fetch_tree(source, tmp_path, "", lambda *_: None)

        assert registry.tokens > 2


def test_without_a_login_a_private_registry_says_what_to_do(client):
    with Registry(login=("me", "secret")).started() as registry:
        registry.push("v1", blobs({"m.gguf": GGUF}))
        without = refusal(client, f"{registry.address}:v1")
        wrong = refusal(client, f"{registry.address}:v1", registry_login=("me", "other"))

    assert without[0] == wrong[0] == "ArtifactForbidden"
    assert "`.dockerconfigjson`" in without[1] and "may not pull it" in wrong[1] and "other" not in wrong[1]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([(b"zip", f"{TAR}+gzip", "")], "are compressed"),
        ([(b"blob", RAW, "")], "holds no files"),
        ([(b"no archive, but long enough to look at" * 40, TAR, "")], "no tar archive"),
        ([(GGUF, RAW, "../m.gguf")], "leads out of"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(registry, client, layers, words):
    registry.push("v1", layers)

    assert words in refusal(client, f"{registry.address}:v1")[1]


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(registry, client):
    wanted = "sha256:" + 64 * "a"
    registry.manifests[wanted] = b"{}"

    assert refusal(client, f"{registry.address}@{wanted}")[0] == "DigestMismatch"


def test_a_tag_that_is_not_there_is_named(registry, client):
    assert refusal(client, f"{registry.address}:v9") == (
        "ArtifactNotFound", f"{registry.address}: there is no 'v9'."
    )  # fmt: skip


def test_a_registry_that_is_not_there_is_the_artifacts_failure(client):
    with Registry().started() as registry:
        pass

    assert refusal(client, f"{registry.address}:v1")[0] == "ArtifactUnreachable"


def test_a_registry_without_tls_is_told_as_that(registry, client):
    other = registry.address.replace("127.0.0.1", "127.1")  # not known as this machine, so TLS is spoken to it
    reason, message = refusal(client, f"{other}:v1")

    assert reason == "ArtifactUnreachable" and "`?plain-http=true`" in message


def test_a_blob_with_other_bytes_is_not_left_behind(registry, client, tmp_path, monkeypatch):
    monkeypatch.setattr("bitshift_runtime.artifact.fetch.PAUSE_SECONDS", 0)
    registry.push("v1", blobs({"m.gguf": GGUF}))
    registry.blobs[f"sha256:{hashlib.sha256(GGUF).hexdigest()}"] = GGUF[:-1] + b"!"
    with pytest.raises(ArtifactError) as caught:
        fetch_tree(a_source(client, f"{registry.address}:v1"), tmp_path, "", lambda *_: None)

    assert caught.value.reason == "DigestMismatch"
    assert not (tmp_path / "m.gguf").exists()


def test_a_layer_with_other_bytes_is_not_left_behind(registry, client, tmp_path):
    archive = tar({"models/LICENSE": b"free", "models/m.gguf": GGUF, "models/last.txt": bytes(5_000)})
    registry.push("v1", [(archive, TAR, "")])
    at = archive.index(GGUF) + len(GGUF) - 1
    registry.blobs[f"sha256:{hashlib.sha256(archive).hexdigest()}"] = archive[:at] + b"!" + archive[at + 1 :]
    with pytest.raises(ArtifactError, match="not sha256:") as caught:
        fetch_tree(a_source(client, f"{registry.address}:v1"), tmp_path, "", lambda *_: None)

    assert caught.value.reason == "DigestMismatch"
    assert not (tmp_path / "m.gguf").exists()


def test_a_layer_is_held_to_its_digest_without_being_read_twice(registry, client, tmp_path):
    archive = tar({"models/LICENSE": b"free", "models/m.gguf": GGUF + bytes(100_000), "models/last.txt": bytes(5_000)})
    registry.push("v1", [(archive, TAR, "")])
    source = a_source(client, f"{registry.address}:v1")
    registry.asked.clear()
    fetch_tree(source, tmp_path, "", lambda *_: None)
    ranges = [headers["range"].removeprefix("bytes=").split("-") for _, _, headers in registry.asked]

    assert sum(int(last) - int(first) + 1 for first, last in ranges) == len(archive)


def test_a_login_is_tried_by_whoever_was_asked_for_one_without_it(client):
    challenge = {"www-authenticate": 'Basic realm="here"'}
    asking = httpx.Response(401, headers=challenge, request=httpx.Request("GET", "http://r/v2/"))
    refusing = httpx.Response(
        401, headers=challenge, request=httpx.Request("GET", "http://r/v2/", headers={"authorization": "Basic eA=="})
    )
    with Registry().started() as registry:
        registry.push("v1", blobs({"m.gguf": GGUF}))
        source = a_source(client, f"{registry.address}:v1", registry_login=("me", "secret"))

    assert [source.renew(answer) for answer in (asking, asking, refusing)] == [True, True, False]
