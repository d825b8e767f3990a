"""The cheapest engine that still speaks HTTP: what the relay is measured against.

`python tests/bench/bare_engine.py` prints its port. A request's body says what comes back:
`{"tokens": 0}` a whole answer, `{"tokens": n, "gap_ms": g}` a stream of n events that say when each was sent.
"""

import asyncio
import json
import time

WHOLE = json.dumps(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris. " * 8}, "finish_reason": "stop"}]}
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n\r\n"
EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","sent":%d,"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            asked = json.loads(await reader.readexactly(int(fields[b"content-length"])))
            await answer(writer, asked["tokens"], asked.get("gap_ms", 0) / 1000)
            if fields.get(b"connection") == b"close":
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def answer(writer: asyncio.StreamWriter, tokens: int, gap_seconds: float) -> None:
    if not tokens:
        writer.write(HEAD % (b"application/json", b"Content-Length: %d" % len(WHOLE)) + WHOLE)
        return
    writer.write(HEAD % (b"text/event-stream", b"Transfer-Encoding: chunked"))
    for _ in range(tokens):
        event = EVENT % time.monotonic_ns()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(gap_seconds)
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LAST), LAST))


async def main() -> None:
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
