"""What the headers of a 400-GB checkpoint cost over HTTP: `python tests/bench/headers.py` prints bytes and seconds.

The checkpoint has the tensors of Llama-3.1-405B in FP8 and lies in 109 shards on a server in a process of its own,
which answers each request after 20 ms and makes weights up as zeros. The bound is the same reader with one request at a
time: what every reader must at least ask for, in the order in which it must be asked.
"""

import asyncio
import json
import math
import re
import struct
import sys
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bitshift_runtime.artifact import headers
from bitshift_runtime.artifact.inspect import INDEX, inspect
from bitshift_runtime.artifact.location import source_of
from bitshift_runtime.artifact.source import http_client
from tests.bitshift_core.artifact.builders import llama_matrices

DELAY_SECONDS = 0.020
LAYERS, HIDDEN, INTERMEDIATE, KEY_VALUE, VOCABULARY = 126, 16_384, 53_248, 1_024, 128_256
SHARDS = 109
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_attention_heads": 128,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 131_072,
    "quantization_config": {"quant_method": "fp8"},
}
MATRICES = llama_matrices(HIDDEN, KEY_VALUE, INTERMEDIATE)
BYTES_OF = {"BF16": 2, "F8_E4M3": 1, "F32": 4}
RANGE = re.compile(rb"range: bytes=(\d+)-(\d+)", re.IGNORECASE)
Tensors = dict[str, tuple[str, tuple[int, ...]]]


def main() -> None:
    ours, theirs = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=serve, args=(theirs,))
    server.start()
    try:
        url = ours.recv()
        seconds, weight_bytes = read(url)
        ours.send("count")
        requests, sent_bytes = ours.recv()
        headers.PARALLEL_READS = 1
        bound_seconds, _ = read(url)
    finally:
        ours.send("end")
        server.join(10)
    print(
        f"{SHARDS} shards with {weight_bytes / 1e9:.0f} GB of weights: {sent_bytes / 1e6:.2f} MB in {requests} requests "
        f"and {seconds:.2f} s; one request at a time takes {bound_seconds:.2f} s, "
        f"{bound_seconds / seconds:.1f} times as long"
    )


def read(url: str) -> tuple[float, int]:
    """Return the seconds that the headers took, and the bytes of weights that they tell of."""
    started = time.monotonic()
    with http_client() as client:
        facts = inspect(source_of(url, Path(), client), lambda *_: None, headers_only=True)
    return time.monotonic() - started, facts.weight_bytes


# The server


def checkpoint() -> dict[str, tuple[bytes, int]]:
    """Return each file's first bytes, and its size: what follows them is zeros."""
    shards = shards_of(tensors())
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    index = {"weight_map": {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}}
    files = {"config.json": json.dumps(CONFIG).encode(), INDEX: json.dumps(index, indent=2).encode()}
    return {name: (content, len(content)) for name, content in files.items()} | dict(
        zip(names, map(laid_out, shards), strict=True)
    )


def tensors() -> Tensors:
    found: Tensors = {name: ("BF16", (VOCABULARY, HIDDEN)) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    for layer in range(LAYERS):
        for name, shape in MATRICES.items():
            found[f"model.layers.{layer}.{name}.weight"] = ("F8_E4M3", shape)
            found[f"model.layers.{layer}.{name}.weight_scale"] = ("F32", (shape[0], 1))
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"model.layers.{layer}.{norm}.weight"] = ("BF16", (HIDDEN,))
    return found | {"model.norm.weight": ("BF16", (HIDDEN,))}


def shards_of(found: Tensors) -> list[Tensors]:
    """Return the tensors in order, dealt out to shards of about one size."""
    whole, filled = sum(map(bytes_of, found.values())), 0
    shards: list[Tensors] = [{} for _ in range(SHARDS)]
    for name, tensor in found.items():
        shards[min(filled * SHARDS // whole, SHARDS - 1)][name] = tensor
        filled += bytes_of(tensor)
    return [shard for shard in shards if shard]


def bytes_of(tensor: tuple[str, tuple[int, ...]]) -> int:
    return BYTES_OF[tensor[0]] * math.prod(tensor[1])


def laid_out(shard: Tensors) -> tuple[bytes, int]:
    """Return a safetensors file's header, and the size of the whole."""
    entries, offset = {}, 0
    for name, (dtype, shape) in shard.items():
        end = offset + bytes_of((dtype, shape))
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    raw = json.dumps({"__metadata__": {"format": "pt"}} | entries, separators=(",", ":")).encode()
    return struct.pack("<Q", len(raw)) + raw, 8 + len(raw) + offset


def serve(pipe: Connection) -> None:
    """Answer ranges until the other end says `end`; `count` asks for requests and bytes so far."""
    files, sent = checkpoint(), [0, 0]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(DELAY_SECONDS)
                reply = reply_to(files, request)
                sent[0], sent[1] = sent[0] + 1, sent[1] + len(reply)
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/405b/")
        while await asyncio.to_thread(pipe.recv) != "end":
            pipe.send(tuple(sent))

    asyncio.run(run())


def reply_to(files: dict[str, tuple[bytes, int]], request: bytes) -> bytes:
    name = request.split(b" ", 2)[1].rpartition(b"/")[2].decode()
    wanted = RANGE.search(request)
    if name not in files or not wanted:
        return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    content, size = files[name]
    first, last = int(wanted[1]), min(int(wanted[2]), size - 1)
    part = content[first : last + 1].ljust(last + 1 - first, b"\0")
    head = f"HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {first}-{last}/{size}\r\ncontent-length: {len(part)}"
    return head.encode() + b"\r\n\r\n" + part


if __name__ == "__main__":
    main()
