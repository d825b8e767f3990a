"""HTTP servers of files, as a transport: ranges, refusals and connections that break, without a socket."""

import re

import httpx

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class FileServer:
    """Answers GET with ranges; `breaks_after` cuts each answer short that many bytes in, as lost connections do."""

    def __init__(self, files: dict[str, bytes], *, ranges: bool = True, breaks_after: int = 0, breaks: int = 0) -> None:
        self.files, self.ranges = files, ranges
        self.breaks_after, self.breaks = breaks_after, breaks
        self.requests: list[httpx.Request] = []

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self.answer), follow_redirects=True)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        data = self.files.get(request.url.path)
        if data is None:
            return httpx.Response(404)
        wanted = RANGE.match(request.headers.get("range", ""))
        if not wanted or not self.ranges:
            return self._sent(200, data, {"content-length": str(len(data))})
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        if first >= len(data):
            return httpx.Response(416, headers={"content-range": f"bytes */{len(data)}"})
        part = data[first : last + 1]
        headers = {"content-range": f"bytes {first}-{last}/{len(data)}", "content-length": str(len(part))}
        return self._sent(206, part, headers)

    def _sent(self, status: int, data: bytes, headers: dict[str, str]) -> httpx.Response:
        return httpx.Response(status, headers=headers, content=self._body(data))

    def _body(self, data: bytes):
        if self.breaks and len(data) > self.breaks_after:
            self.breaks -= 1
            yield data[: self.breaks_after]
            raise httpx.ReadError("connection lost")
        yield data
