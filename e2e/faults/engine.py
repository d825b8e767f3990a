"""An engine that passes every gate, and fails its users in one way once it is told to: the real one answers behind it.

Standard library only: it runs in a bare Python image. `POST /fault` names the fault, in plain text.
"""

import argparse
import http.client
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PIECES = {
    "empty": (" ",),
    "repeating": ("round and round and ",) * 40,
    "broken_json": ('{"answer": ',),
    "aborted": ("This sentence will never",),
}
"""What the answer consists of, by fault."""
WHOLE = ("error4xx", "error5xx")
LATE = {"no_first_token": 35.0, "ttft": 12.0, "itl": 3.0}
"""Seconds before the first piece, for `itl` between pieces: on two busy cores stable itself needs three, and more than one."""
BEGUN = b'"content":"'
"""What the first piece has, and the line before it that only names the role has not."""
SAID = {"upstream": "", "fault": ""}
"""Where the real engine listens, and what users meet instead of its answers."""


class Engine(BaseHTTPRequestHandler):
    """One connection for each request, closed at its end."""

    def do_GET(self) -> None:
        """Be healthy."""
        self._answer(200, "application/json", iter((b'{"status": "ok"}',)))

    def do_POST(self) -> None:
        """Answer as the real engine does, but for the fault."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/fault":
            SAID["fault"] = body.decode()
            return self._answer(200, "text/plain", iter(()))
        fault = SAID["fault"]
        if fault in WHOLE:
            self._answer(int(fault[-3]) * 100, "application/json", iter((b'{"error": {"message": "refused"}}',)))
        elif fault in ("", *LATE):
            self._forward(body, fault)
        else:
            self._made_up(fault, json.loads(body))

    def _forward(self, body: bytes, fault: str) -> None:
        upstream = http.client.HTTPConnection(urlsplit(SAID["upstream"]).netloc, timeout=120)
        time.sleep(0 if fault == "itl" else LATE.get(fault, 0))
        upstream.request("POST", self.path, body, {"content-type": "application/json"})
        answer = upstream.getresponse()
        pause = LATE[fault] if fault == "itl" else 0.0
        self._answer(answer.status, answer.getheader("content-type", ""), _lines(answer, pause))
        upstream.close()

    def _made_up(self, fault: str, asked: dict[str, Any]) -> None:
        pieces = PIECES.get(fault, ("",))
        tools = [{"index": 0, "id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": '}}]
        extra = {"tool_calls": tools} if fault == "broken_tool" else {}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(pieces)} | extra
            whole = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
            promised = len(whole) + (100 if fault == "aborted" else 0)
            self._answer(200, "application/json", iter((whole,)), promised)
            return
        self._answer(200, "text/event-stream", _events(pieces, extra, breaks_off=fault == "aborted"))

    def _answer(self, status: int, kind: str, parts: Iterator[bytes], length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("connection", "close")
        if length is not None:
            self.send_header("content-length", str(length))
        self.end_headers()
        for part in parts:
            self.wfile.write(part)
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: users' requests are nobody's to read."""


def _lines(answer: http.client.HTTPResponse, pause_seconds: float) -> Iterator[bytes]:
    begun = False
    for line in answer:
        if begun and line.startswith(b"data:"):
            time.sleep(pause_seconds)
        begun = begun or BEGUN in line
        yield line


def _events(pieces: tuple[str, ...], extra: dict[str, Any], *, breaks_off: bool) -> Iterator[bytes]:
    for piece in pieces:
        yield _event({"content": piece} | extra, None)
    if not breaks_off:
        yield _event({}, "stop")
        yield b"data: [DONE]\n\n"


def _event(delta: dict[str, Any], finished: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finished}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, default=8080)
    known, _ = parser.parse_known_args()  # the rest are the engine's flags
    SAID["upstream"] = known.upstream
    ThreadingHTTPServer(("0.0.0.0", known.port), Engine).serve_forever()


if __name__ == "__main__":
    main()
