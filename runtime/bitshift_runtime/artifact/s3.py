"""`s3://BUCKET/PREFIX?endpoint=URL&region=NAME`: objects of Amazon S3, or of a store that speaks its protocol.

Here: a folder's objects, pinned by what the store calls their versions. Not here: signatures (`httpx_auth`).
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from posixpath import basename, dirname
from urllib.parse import parse_qs, quote, urlencode
from xml.etree import ElementTree

import httpx
from httpx_auth import AWS4Auth

from bitshift_core.artifact.errors import ArtifactError, malformed

from .choice import wanted
from .credentials import WAY_OUT, Credentials
from .source import Progress, at_most
from .spans import Span, SpanSource, asked, not_given

MAX_PAGES, MAX_ERROR_BYTES = 100, 64 << 10
DEFAULT_REGION = "us-east-1"
OF_REGION = ("AuthorizationHeaderMalformed", "PermanentRedirect")
UNKNOWN_KEY = "The store does not know the AWS_ACCESS_KEY_ID in `spec.sources.secret`: put one of its own there."
MENDS: Mapping[str, str] = {
    "InvalidAccessKeyId": UNKNOWN_KEY,
    "XAdminUserNotFound": UNKNOWN_KEY,
    "SignatureDoesNotMatch": "The AWS_SECRET_ACCESS_KEY in `spec.sources.secret` is not that of its AWS_ACCESS_KEY_ID.",
    "ExpiredToken": "The AWS_SESSION_TOKEN in `spec.sources.secret` ran out: put a new one there, with its keys.",
    "RequestTimeTooSkewed": "The node's clock differs from the store's by more than a signature may be old.",
}
"""Ways out by the codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and of versitygw."""


class S3Source(SpanSource):
    """Objects of one folder of a bucket."""

    def __init__(self, uri: str, client: httpx.Client, credentials: Credentials) -> None:
        address, _, expected = uri.removeprefix("s3://").partition("#")
        path, _, query = address.partition("?")
        said = {key: values[-1] for key, values in parse_qs(query).items()}
        self._bucket, _, key = path.partition("/")
        if not self._bucket:
            raise malformed(f"{uri} must be s3://BUCKET/PREFIX.")
        self._region = said.get("region") or credentials.s3_region or DEFAULT_REGION
        endpoint = said.get("endpoint") or credentials.s3_endpoint or f"https://s3.{self._region}.amazonaws.com"
        self._base, self._client, self._key = f"{endpoint.rstrip('/')}/{self._bucket}", client, credentials.aws_key
        spans, entry = self._folder(key)
        super().__init__(client, spans, entry)
        version = _version(wanted(self), spans)
        if expected and expected != version:
            raise ArtifactError(
                "ArtifactMoved",
                f"s3://{path} holds other objects than when its facts were read: say `retry` to have them read again.",
            )
        self.pinned = f"s3://{address}#{version}"

    def auth(self) -> httpx.Auth | None:
        """Return what signs requests; None reads a public bucket."""
        key = self._key
        if key is None:
            return None
        token = {"security_token": key.session_token} if key.session_token else {}
        signer: httpx.Auth = AWS4Auth(key.identifier, key.secret, self._region, "s3", **token)
        return signer

    def sha256(self, name: str, progress: Progress) -> str:
        """Return the checksum that was stored with the object, empty where there is none of the whole of it."""
        try:
            checked = {"x-amz-checksum-mode": "ENABLED"}
            answer = asked(self._client, self._spans[name].url, method="HEAD", headers=checked, auth=self.auth())
        except ArtifactError:
            return ""
        try:
            raw = base64.b64decode(answer.headers.get("x-amz-checksum-sha256", ""), validate=True)
        except binascii.Error:
            return ""  # `…-3` is a checksum of three parts' checksums
        return f"sha256:{raw.hex()}" if len(raw) == hashlib.sha256().digest_size else ""

    def refused(self, name: str, answer: httpx.Response) -> ArtifactError:
        """Return what the store means, by its own word where it says one: statuses differ from store to store."""
        where, (code, region) = f"s3://{self._bucket}", _error(answer)
        if answer.status_code == httpx.codes.PRECONDITION_FAILED:
            return ArtifactError("ArtifactMoved", f"{where}: {name} was replaced while it was read: say `retry`.")
        is_elsewhere = region not in ("", self._region)
        if answer.status_code == httpx.codes.MOVED_PERMANENTLY or code in OF_REGION or is_elsewhere:
            another = f"in region {region}, not" if region else "not in region"
            return ArtifactError(
                "ArtifactUnreadable", f"{where} is {another} {self._region}: say `?region=` in the address."
            )
        if code == "NoSuchBucket":
            return ArtifactError("ArtifactNotFound", f"{where}: there is no such bucket.")
        if mend := MENDS.get(code):
            return ArtifactError("ArtifactForbidden", f"{where}: {name} may not be read. {mend}")
        mend = f"{WAY_OUT} with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        if self._key:
            mend = "The key in `spec.sources.secret` needs s3:GetObject and s3:ListBucket there: allow it both."
        return not_given(where, name, answer, mend) or super().refused(f"{where}: {name}", answer)

    def _folder(self, key: str) -> tuple[dict[str, Span], str]:
        """Return the objects beside the one that is named, or below the prefix that is."""
        beside = self._listed(f"{dirname(key)}/" if dirname(key) else "")
        if basename(key) in beside:
            return beside, basename(key)
        below = self._listed(f"{key.rstrip('/')}/") if key else beside
        if not below:
            raise ArtifactError("ArtifactNotFound", f"s3://{self._bucket} holds nothing at {key!r}.")
        return below, ""

    def _listed(self, prefix: str) -> dict[str, Span]:
        found: dict[str, Span] = {}
        token = ""
        for _ in range(MAX_PAGES):
            query = {"delimiter": "/", "list-type": "2", "prefix": prefix}
            query |= {"continuation-token": token} if token else {}
            page = self._page(f"{self._base}?{urlencode(query, quote_via=quote)}")
            for item in _children(page, "Contents"):
                key, tag = _text(item, "Key"), _text(item, "ETag")
                if key != prefix:
                    url = f"{self._base}/{quote(key)}"
                    found[key.removeprefix(prefix)] = Span(
                        url, int(_text(item, "Size") or 0), headers={"If-Match": tag} if tag else {}
                    )
            token = _text(page, "NextContinuationToken")
            if not token:
                return found
        raise malformed(f"s3://{self._bucket}/{prefix} lists more than {MAX_PAGES} pages.")

    def _page(self, url: str) -> ElementTree.Element:
        answer = asked(self._client, url, auth=self.auth())
        if not answer.is_success:
            raise self.refused("the list of its objects", answer)
        try:
            return ElementTree.fromstring(answer.content)
        except ElementTree.ParseError:
            raise malformed(f"s3://{self._bucket}: the store's list is no XML. Is the endpoint one of S3?") from None


def _error(answer: httpx.Response) -> tuple[str, str]:
    """Return the code of a refusal, and the bucket's region where it is told; '' for what is not."""
    if answer.is_success:
        return "", ""
    region = answer.headers.get("x-amz-bucket-region", "")
    try:
        body = ElementTree.fromstring(at_most(answer, MAX_ERROR_BYTES))
    except (ElementTree.ParseError, httpx.HTTPError):
        return "", region
    return _text(body, "Code"), _text(body, "Region") or region


def _version(names: Iterable[str], spans: dict[str, Span]) -> str:
    """Return what changes whenever one of the objects that are served does."""
    lines = [f"{name} {spans[name].size} {spans[name].headers.get('If-Match', '')}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in _children(element, name)), "")
