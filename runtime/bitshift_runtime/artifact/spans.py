"""Files as ranges of what URLs answer: what a Hub, a store and a registry have in common.

Here: sizes, ranges, streams that may be continued. Not here: who lists the files (`hub`, `s3`, `oci`).
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import basename, dirname

import httpx

from bitshift_core.artifact.errors import ArtifactError

from .source import Progress, at_most, unreachable

TRIED_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Span:
    """Where one file's bytes lie."""

    url: str
    size: int
    start: int = 0
    """The file's first byte among those that the URL answers: layers of an image hold many files."""
    sha256: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class SpanSource:
    """A folder of known files, or one of them."""

    pinned = ""
    """The address under which exactly these bytes are found again."""

    def __init__(self, client: httpx.Client, spans: Mapping[str, Span], entry: str = "") -> None:
        self._client, self._spans, self.entry = client, spans, entry

    def names(self) -> tuple[str, ...]:
        """Return the folder's files."""
        return tuple(sorted(self._spans))

    def size(self, name: str) -> int | None:
        """Return the file's bytes."""
        span = self._spans.get(name)
        return span.size if span else None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return a range of the file."""
        return self.read_span(self._spans[name], name, offset, length)

    def read_span(self, span: Span, name: str, offset: int, length: int) -> bytes:
        """Return a range of what a span holds."""
        end = min(offset + length, span.size)
        if end <= offset:
            return b""
        try:
            with self._stream(span, name, offset, end) as answer:
                return at_most(answer, end - offset)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(span.url.partition("?")[0], error) from error

    def sha256(self, name: str, progress: Progress) -> str:
        """Return the digest that the server promises; `fetch` holds the bytes to it."""
        return self._spans[name].sha256

    def stream(self, name: str, offset: int) -> AbstractContextManager[httpx.Response]:
        """Return the file's bytes from an offset on; failures that may pass are httpx's own."""
        span = self._spans[name]
        return self._stream(span, name, offset, span.size)

    def check(self, folder: Path, names: Iterable[str]) -> None:
        """Hold fetched files to promises that the server made of more than one of them together."""

    def auth(self) -> httpx.Auth | None:
        """Return who asks; None is anybody."""
        return None

    def renew(self, answer: httpx.Response) -> bool:
        """Return whether asking once more with newer credentials may help."""
        return False

    def refused(self, name: str, answer: httpx.Response) -> ArtifactError:
        """Return what an answer without the bytes means."""
        if answer.status_code == httpx.codes.OK:
            return ArtifactError("RangeNotSupported", f"{name} is only served whole; headers are read by HTTP ranges.")
        return ArtifactError("ArtifactUnreadable", f"{name}: the server answered HTTP {answer.status_code}.")

    @contextmanager
    def _stream(self, span: Span, name: str, offset: int, end: int) -> Iterator[httpx.Response]:
        first, last = span.start + offset, span.start + end - 1
        headers = {**span.headers, "Accept-Encoding": "identity", "Range": f"bytes={first}-{last}"}
        with self._answered(span.url, headers) as answer:
            if answer.status_code in TRIED_AGAIN:
                answer.raise_for_status()
            is_all_of_it = answer.status_code == httpx.codes.OK and first == 0 and end == span.size
            if answer.status_code != httpx.codes.PARTIAL_CONTENT and not is_all_of_it:
                raise self.refused(name, answer)
            yield answer

    @contextmanager
    def _answered(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        for again in (False, True):
            with self._client.stream("GET", url, headers=dict(headers), auth=self.auth()) as answer:
                if not again and answer.status_code == httpx.codes.UNAUTHORIZED and self.renew(answer):
                    continue
                yield answer
                return


class HeaderAuth(httpx.Auth):
    """A ready `Authorization` header; httpx does not carry it on to another host that a server sends us to."""

    def __init__(self, value: str) -> None:
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = self._value
        yield request


def asked(client: httpx.Client, url: str, *, method: str = "GET", **options: object) -> httpx.Response:
    """Return a small answer, whole; a server that cannot be reached is the artifact's failure, not a crash."""
    try:
        return client.request(method, url, **options)  # type: ignore[arg-type]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(url.partition("?")[0], error) from error


def not_given(where: str, name: str, answer: httpx.Response, mend: str) -> ArtifactError | None:
    """Return the error for a file that may not be read, with its way out, or is not there; None for other answers."""
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return ArtifactError("ArtifactForbidden", f"{where}: {name} may not be read. {mend}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return ArtifactError("ArtifactNotFound", f"{where}: there is no {name}.")
    return None


def inside(files: Mapping[str, Span], path: str, what: str) -> tuple[dict[str, Span], str]:
    """Return the files of the folder that a path names, and the file's own name where it names one."""
    path = path.strip("/")
    folder = dirname(path) if path in files else path
    found = {basename(name): span for name, span in files.items() if dirname(name) == folder}
    if not found:
        raise ArtifactError("ArtifactNotFound", f"{what} holds no {path!r}." if path else f"{what} holds no file.")
    return found, basename(path) if path in files else ""
