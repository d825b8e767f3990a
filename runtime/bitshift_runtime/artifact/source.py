"""Where an artifact's bytes come from: files below a mounted claim, or an HTTP server that answers ranges.

Here: names, sizes, ranges, digests. Not here: which files make an artifact (`inspect`).
"""

import hashlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpx

from bitshift_core.artifact.errors import ArtifactError

CA_FILE = "BITSHIFT_CA_FILE"
HASH_CHUNK_BYTES = 4 << 20
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
HEAD_BYTES = 4_096
"""What is asked for with a file's size: most shards' headers end within it, so that one request tells both."""
NO_TLS = ("WRONG_VERSION_NUMBER", "record layer failure")
"""How versions of OpenSSL name an answer that is none of TLS."""
Progress = Callable[[str, int, int], None]
"""Called with what is read (a file, `files`, or `headers`), how much of it was read, and how much there is."""


class Source(Protocol):
    """A folder, or one file in it. Sizes and ranges may be asked for from several threads."""

    @property
    def entry(self) -> str:
        """Return the file that was asked for, empty for a folder."""

    def names(self) -> tuple[str, ...] | None:
        """Return the folder's files, None where they cannot be listed."""

    def size(self, name: str) -> int | None:
        """Return the file's bytes, None where it is missing."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return that range, shorter where the file ends."""

    def sha256(self, name: str, progress: Progress) -> str:
        """Return the digest of the whole file, empty where that would mean a download."""


class ClaimSource:
    """Files of a PersistentVolumeClaim that is mounted here."""

    def __init__(self, claim: str, path: str, mount: Path) -> None:
        self._claim, self._path, self._mount = claim, path, mount
        target = _inside(mount, path, claim)
        if not target.exists():
            raise self._missing(path)
        # A file keeps the name that was asked for: a link of a Hugging Face cache leads to a blob without a suffix.
        self._folder = target if target.is_dir() else _inside(mount, str(PurePosixPath(path).parent), claim)
        self.entry = "" if target.is_dir() else PurePosixPath(path).name

    def names(self) -> tuple[str, ...]:
        """Return the files in the folder."""
        return tuple(sorted(item.name for item in self._folder.iterdir() if item.is_file()))

    def size(self, name: str) -> int | None:
        """Return the file's bytes."""
        path = self._file(name)
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return a range of the file."""
        try:
            with self._file(name).open("rb") as file:
                return os.pread(file.fileno(), length, offset)
        except PermissionError:
            where = f"pvc://{self._claim}/{self._path}"
            raise ArtifactError(
                "ArtifactUnreadable", f"{name} at {where} may not be read by user {os.getuid()}; relax its mode."
            ) from None

    def sha256(self, name: str, progress: Progress) -> str:
        """Return the digest of the whole file."""
        digest, done, size = hashlib.sha256(), 0, self.size(name) or 0
        while chunk := self.read(name, done, HASH_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress(name, done, size)
        return f"sha256:{digest.hexdigest()}"

    def _file(self, name: str) -> Path:
        return _inside(self._mount, str((self._folder / name).relative_to(self._mount.resolve())), self._claim)

    def _missing(self, path: str) -> ArtifactError:
        return ArtifactError("ArtifactNotFound", f"The claim {self._claim} holds no {path!r}. Check the path after it.")


def _inside(mount: Path, path: str, claim: str) -> Path:
    """Return the path below the mount; links are followed, but not out of the claim."""
    root = mount.resolve()
    try:
        target = (root / path).resolve()
    except (RuntimeError, ValueError, OSError) as error:  # links in a circle; a NUL, or more letters than a path has
        raise ArtifactError("ArtifactNotFound", f"The path {path[:80]!r} cannot be followed: {error}.") from None
    if not target.is_relative_to(root):
        raise ArtifactError("ArtifactNotFound", f"The path {path!r} leads out of the claim {claim}.")
    return target


class HttpSource:
    """Files of an HTTP server, by range; a folder is a URL that ends with a slash."""

    def __init__(self, url: str, client: httpx.Client, token: str = "") -> None:
        parts = urlsplit(url)
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self._query = parts.query
        self._base = url.split("?")[0].rsplit("/", 1)[0] + "/"
        self.entry = unquote(parts.path.rpartition("/")[2])
        self._client = client
        self._sizes: dict[str, int | None] = {}
        self._heads: dict[str, bytes] = {}

    def names(self) -> None:
        """Return None: HTTP lists nothing."""

    def size(self, name: str) -> int | None:
        """Return the file's bytes as the answer to its first ones tells them."""
        if name not in self._sizes:
            self._sizes[name] = self._begin(name)
        return self._sizes[name]

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return a range of the file; its first bytes came with its size."""
        end = min(offset + length, self.size(name) or 0)
        known = self._heads.get(name, b"")[offset:end]
        if offset + len(known) >= end:
            return known
        with self._get(name, offset + len(known), end - 1) as answer:
            if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                raise self._refused(name, answer.status_code)
            return known + at_most(answer, end - offset - len(known))

    def sha256(self, name: str, progress: Progress) -> str:
        """Return nothing: headers are read without a download, and `fetch` checks the whole file."""
        return ""

    def _begin(self, name: str) -> int | None:
        """Return the file's size and keep its first bytes; None where there is no such file."""
        with self._get(name, 0, HEAD_BYTES - 1) as answer:
            total = _told_size(answer)
            if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                return None
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and total == 0:
                return 0
            is_whole = answer.status_code == httpx.codes.OK and total is not None and total <= HEAD_BYTES
            if answer.status_code != httpx.codes.PARTIAL_CONTENT and not is_whole:
                raise self._refused(name, answer.status_code)
            if total is None:
                raise ArtifactError("RangeNotSupported", f"{self._base}{name} does not tell its size.")
            self._heads[name] = at_most(answer, HEAD_BYTES)
        return total

    def _get(self, name: str, first: int, last: int) -> "_Stream":
        url = urljoin(self._base, quote(name)) + (f"?{self._query}" if self._query else "")
        headers = self._authorization | {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        return _Stream(self._client, url, headers)

    def _refused(self, name: str, status: int) -> ArtifactError:
        if status == httpx.codes.OK:
            return ArtifactError(
                "RangeNotSupported", f"{self._base}{name} is only served whole; headers are read by HTTP ranges."
            )
        return ArtifactError("ArtifactUnreadable", f"{self._base}{name} answered HTTP {status}.")


class _Stream:
    """One streamed answer whose failures are the artifact's, not a crash."""

    def __init__(self, client: httpx.Client, url: str, headers: dict[str, str]) -> None:
        self._url = url.split("?")[0]
        self._client, self._full_url, self._headers = client, url, headers

    def __enter__(self) -> httpx.Response:
        try:
            self._context = self._client.stream("GET", self._full_url, headers=self._headers)
            return self._context.__enter__()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(self._url, error) from error

    def __exit__(self, *failure: object) -> None:
        self._context.__exit__(None, None, None)
        if isinstance(failure[1], httpx.HTTPError):
            raise unreachable(self._url, failure[1]) from failure[1]


def _told_size(answer: httpx.Response) -> int | None:
    """Return the file's size as a range's answer tells it, or a whole one's: small files may come whole."""
    total = answer.headers.get("content-range", "").rpartition("/")[2]
    if answer.status_code == httpx.codes.OK:
        total = answer.headers.get("content-length", "")
    return int(total) if total.isdecimal() and len(total) < 20 else None


def at_most(answer: httpx.Response, limit_bytes: int) -> bytes:
    """Return the body up to the limit: a server may send more than it was asked for."""
    parts, held = [], 0
    for part in answer.iter_bytes():
        parts.append(part)
        held += len(part)
        if held >= limit_bytes:
            break
    return b"".join(parts)[:limit_bytes]


def unreachable(url: str, error: Exception) -> ArtifactError:
    """Return the error for a server that cannot be reached or breaks off."""
    mend = " If its authority is your own, name it in `spec.sources.caBundle`." if is_untrusted(error) else ""
    if any(words in str(error) for words in NO_TLS):
        mend = " It seems to speak no TLS: say so by http:// in its address, or of a registry by `?plain-http=true`."
    message = f"{url} could not be read: {type(error).__name__}: {str(error)[:200]}{mend}"
    return ArtifactError("ArtifactUnreachable", message)


def is_untrusted(error: Exception) -> bool:
    """Say whether nobody who is trusted vouches for the server, which no second attempt changes."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def http_client() -> httpx.Client:
    """Return the client that all reads and threads share: redirects are followed, proxies of the environment used.

    Certificates in the file that `BITSHIFT_CA_FILE` names are trusted besides the public ones.
    """
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    return httpx.Client(follow_redirects=True, max_redirects=5, timeout=timeout, verify=_trust(os.environ.get(CA_FILE)))


def _trust(file: str | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if file:
        try:
            context.load_verify_locations(file)
        except OSError as error:  # ssl.SSLError is one
            message = (
                f"`spec.sources.caBundle` holds no certificates in PEM ({error.strerror or error}): "
                "create its ConfigMap with them under its `key`."
            )
            raise ArtifactError("CaBundleUnreadable", message) from error
    return context
