"""`s3://`: a store on loopback that speaks the protocol, and signatures like those of Amazon's own library."""

import boto3
import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from bitshift_core.artifact.errors import ArtifactError
from bitshift_runtime.artifact.credentials import AwsKey, Credentials
from bitshift_runtime.artifact.fetch_tree import fetch_tree
from bitshift_runtime.artifact.inspect import inspect
from bitshift_runtime.artifact.s3 import S3Source
from tests.bitshift_core.artifact.builders import gguf
from tests.bitshift_runtime.artifact.test_inspect import sharded

KEY = AwsKey("AKIAEXAMPLE", "secret")
KEYS = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-_. +()&=/"), min_size=1).filter(
    lambda key: "//" not in key and not key.startswith((".", "/")) and "/." not in key
)


@pytest.fixture(scope="module")
def store():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(store, request):
    made = boto3.resource(
        "s3", endpoint_url=store, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    ).Bucket(request.node.name.replace("_", "-").partition("[")[0][:60].rstrip("-"))
    made.create()
    return made


@pytest.fixture
def client():
    with httpx.Client(follow_redirects=True) as made:
        yield made


def put(bucket, files, prefix="", **options):
    for name, data in files.items():
        bucket.put_object(Key=f"{prefix}{name}", Body=data, **options)


def a_source(client, store, uri, key=KEY):
    return S3Source(uri, client, Credentials(s3_endpoint=store, aws_key=key))


def refusal(client, store, uri, key=KEY):
    with pytest.raises(ArtifactError) as caught:
        a_source(client, store, uri, key)
    return caught.value.reason, str(caught.value)


@pytest.mark.long
def test_a_folder_is_read_by_range_and_fetched(store, bucket, client, tmp_path):
    put(bucket, sharded(), "models/chat/")
    put(bucket, {"models/chat/README.md": b"#", "models/other/config.json": b"{}"})
    source = a_source(client, store, f"s3://{bucket.name}/models/chat")
    facts = inspect(source, lambda *_: None)
    fetch_tree(source, tmp_path, "", lambda *_: None)

    assert facts.format == "safetensors" and facts.weights_digest == ""
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name[0] != "."} == sharded()


def test_a_checksum_that_was_stored_with_an_object_is_believed_and_held(store, bucket, client, tmp_path):
    put(bucket, {"m.gguf": gguf()}, ChecksumAlgorithm="SHA256")
    source = a_source(client, store, f"s3://{bucket.name}/m.gguf")
    digest = inspect(source, lambda *_: None).weights_digest
    fetch_tree(source, tmp_path, digest, lambda *_: None)

    assert digest.startswith("sha256:") and source.entry == "m.gguf"
    with pytest.raises(ArtifactError, match="not sha256:0000"):
        fetch_tree(source, tmp_path / "other", "sha256:" + 64 * "0", lambda *_: None)


def test_what_was_judged_is_what_is_fetched_or_it_is_told(store, bucket, client):
    put(bucket, sharded())
    pinned = a_source(client, store, f"s3://{bucket.name}").pinned
    put(bucket, {"README.md": b"not served"})
    assert a_source(client, store, pinned).pinned == pinned

    put(bucket, {"config.json": b"{}"})
    reason, message = refusal(client, store, pinned)
    assert reason == "ArtifactMoved" and "say `retry`" in message


def test_an_object_that_is_replaced_while_it_is_read_is_told(store, bucket, client):
    put(bucket, {"m.gguf": gguf()})
    source = a_source(client, store, f"s3://{bucket.name}/m.gguf")
    put(bucket, {"m.gguf": b"other"})

    with pytest.raises(ArtifactError) as caught:
        source.read("m.gguf", 0, 4)
    assert caught.value.reason == "ArtifactMoved"


def test_a_folder_of_more_than_one_page_is_listed_whole(store, bucket, client, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    put(bucket, {f"f{number}.json": b"{}" for number in range(5)})

    assert len(a_source(client, store, f"s3://{bucket.name}").names()) == 5


def test_the_endpoint_may_stand_in_the_address(store, bucket, client):
    put(bucket, {"m.gguf": gguf()})
    source = S3Source(f"s3://{bucket.name}/m.gguf?endpoint={store}&region=eu-x", client, Credentials(aws_key=KEY))

    assert source.read("m.gguf", 0, 4) == b"GGUF"
    assert source.pinned.startswith(f"s3://{bucket.name}/m.gguf?endpoint={store}&region=eu-x#")


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [("/none", "ArtifactNotFound", "'none'"), ("/m.gguf/x", "ArtifactNotFound", "m.gguf/x")],
)
def test_what_is_not_there_is_named(store, bucket, client, path, reason, words):
    put(bucket, {"m.gguf": gguf()})
    found = refusal(client, store, f"s3://{bucket.name}{path}")

    assert found[0] == reason and words in found[1]


@pytest.mark.parametrize(("key", "words"), [(None, "Name a Secret in"), (KEY, "needs s3:GetObject and s3:ListBucket")])
def test_a_store_that_says_no_says_what_to_do(key, words):
    refusing = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(403)))
    reason, message = refusal(refusing, "http://store", "s3://bucket/m", key)

    assert reason == "ArtifactForbidden"
    assert words in message and "secret" not in message.replace("`spec.sources.secret`", "")


SAID = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>No.</Message>{}</Error>'


@pytest.mark.parametrize(
    ("status", "code", "more", "reason", "words"),
    [
        (404, "XAdminUserNotFound", "", "ArtifactForbidden", "does not know the AWS_ACCESS_KEY_ID in `spec.sources.secret`"),
        (403, "InvalidAccessKeyId", "", "ArtifactForbidden", "does not know the AWS_ACCESS_KEY_ID in `spec.sources.secret`"),
        (403, "SignatureDoesNotMatch", "", "ArtifactForbidden", "is not that of its AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", "", "ArtifactForbidden", "ran out"),
        (403, "RequestTimeTooSkewed", "", "ArtifactForbidden", "clock"),
        (403, "AccessDenied", "", "ArtifactForbidden", "needs s3:GetObject and s3:ListBucket"),
        (404, "NoSuchBucket", "", "ArtifactNotFound", "s3://bucket: there is no such bucket."),
        (400, "AuthorizationHeaderMalformed", "<Region>eu-x</Region>", "ArtifactUnreadable",
         "in region eu-x, not us-east-1: say `?region=`"),
        (301, "PermanentRedirect", "", "ArtifactUnreadable", "is not in region us-east-1: say `?region=`"),
        (400, "InvalidArgument", "", "ArtifactUnreadable", "answered HTTP 400"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_by_the_stores_own_code(status, code, more, reason, words):
    refusing = httpx.Client(
        transport=httpx.MockTransport(lambda request: httpx.Response(status, text=SAID.format(code, more)))
    )
    found = refusal(refusing, "http://store", "s3://bucket/m")

    assert found[0] == reason and words in found[1]


def test_a_bucket_that_tells_its_region_and_refuses_is_not_blamed_on_the_region():
    told = {"x-amz-bucket-region": "us-east-1"}
    refusing = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(403, headers=told)))

    assert refusal(refusing, "http://store", "s3://bucket/m")[0] == "ArtifactForbidden"


def test_the_code_is_read_where_bytes_were_asked_for(store, bucket, client):
    put(bucket, {"m.gguf": gguf()})
    source = a_source(client, store, f"s3://{bucket.name}/m.gguf")
    answer = httpx.Response(403, text=SAID.format("ExpiredToken", ""))
    source._client = httpx.Client(transport=httpx.MockTransport(lambda request: answer))

    with pytest.raises(ArtifactError, match="ran out"):
        source.read("m.gguf", 0, 4)


@given(key=KEYS, token=st.sampled_from(["", "session"]))
def test_requests_are_signed_as_amazons_own_library_signs_them(key, token):
    asked = []

    def answer(request):
        asked.append(request)
        return httpx.Response(404)

    credentials = Credentials(s3_endpoint="https://store.example", aws_key=AwsKey("AKIA", "secret", token))
    with httpx.Client(transport=httpx.MockTransport(answer)) as client, pytest.raises(ArtifactError):
        S3Source(f"s3://bucket/{key.replace('?', '')}", client, credentials)
    request = asked[0]
    theirs = AWSRequest("GET", str(request.url), headers={"x-amz-date": request.headers["x-amz-date"]})
    theirs.context["timestamp"] = request.headers["x-amz-date"]
    signer = S3SigV4Auth(BotoCredentials("AKIA", "secret", token or None), "s3", "us-east-1")
    theirs.headers["X-Amz-Content-SHA256"] = request.headers["x-amz-content-sha256"]
    if token:
        theirs.headers["X-Amz-Security-Token"] = token
    canonical = signer.canonical_request(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)

    assert request.headers["authorization"].endswith(f"Signature={signature}")
