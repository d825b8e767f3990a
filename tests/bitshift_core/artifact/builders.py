"""Small GGUF and safetensors files, written here byte by byte so that no library's reading of the format is trusted."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from bitshift_core.artifact.facts import ArtifactFacts, FileFact
from bitshift_core.artifact.ggml import GGML_TYPES
from bitshift_core.artifact.gguf import read_gguf_header
from bitshift_core.artifact.gguf_model import facts_from_gguf

TYPE_NUMBER = {stored.name: number for number, stored in GGML_TYPES.items()}
TINY = {
    "general.architecture": "llama",
    "general.file_type": ("u32", 7),
    "llama.block_count": ("u32", 2),
    "llama.embedding_length": ("u32", 64),
    "llama.context_length": ("u32", 2048),
    "llama.feed_forward_length": ("u32", 128),
    "llama.attention.head_count": ("u32", 4),
    "llama.attention.head_count_kv": ("u32", 2),
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": [f"token{number}" for number in range(96)],
    "tokenizer.ggml.merges": ["a b", "b c"],
    "tokenizer.chat_template": "{{ messages }}",
}
TINY_TENSORS = {
    "token_embd.weight": ("Q8_0", (64, 96)),
    "blk.0.attn_q.weight": ("Q8_0", (64, 64)),
    "blk.0.attn_norm.weight": ("F32", (64,)),
    "blk.1.ffn_up.weight": ("Q8_0", (64, 128)),
    "output_norm.weight": ("F32", (64,)),
}
_NUMBERS = {"u8": (0, "B"), "u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q")}


def reader(data: bytes):
    return lambda offset, length: data[offset : offset + length]


def gguf(metadata: Mapping[str, Any] = TINY, tensors: Mapping[str, tuple] = TINY_TENSORS, *, version: int = 3) -> bytes:
    """Return a whole file; a value is a text, a list of texts, or (type, number or list of numbers)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(text(key) + value(item) for key, item in metadata.items())
    offset, infos, data = 0, b"", b""
    for name, (dtype, shape) in tensors.items():
        infos += tensor_info(name, dtype, shape, offset)
        data += bytes(padded(size_of(dtype, shape)))
        offset = len(data)
    head += infos
    return head + bytes(padded(len(head)) - len(head)) + data


def llama_matrices(hidden: int, key_value: int, intermediate: int) -> dict[str, tuple[int, int]]:
    """Return the shapes of one Llama layer's matrices, in the order of its checkpoints."""
    return {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (key_value, hidden),
        "self_attn.v_proj": (key_value, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (intermediate, hidden),
        "mlp.up_proj": (intermediate, hidden),
        "mlp.down_proj": (hidden, intermediate),
    }


def tensor_info(name: str, dtype: str, shape: tuple[int, ...], offset: int) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", TYPE_NUMBER[dtype], offset)


def size_of(dtype: str, shape: tuple[int, ...]) -> int:
    stored, elements = GGML_TYPES[TYPE_NUMBER[dtype]], 1
    for size in shape:
        elements *= size
    return elements // stored.block_elements * stored.block_bytes


def padded(size: int) -> int:
    return -(-size // 32) * 32


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content.encode())) + content.encode()


def value(item: Any) -> bytes:
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    if isinstance(item, list):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(text(one) for one in item)
    kind, content = item
    number, code = _NUMBERS[kind]
    if isinstance(content, list):
        return struct.pack("<IIQ", 9, number, len(content)) + struct.pack(f"<{len(content)}{code}", *content)
    return struct.pack("<I", number) + struct.pack(f"<{code}", content)


def gguf_facts(metadata: Mapping[str, Any] = TINY, tensors: Mapping[str, tuple] = TINY_TENSORS) -> ArtifactFacts:
    data = gguf(metadata, tensors)
    return facts_from_gguf([read_gguf_header(reader(data), len(data))], [FileFact(name="m.gguf", size_bytes=len(data))])


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...]]], *, bits: Mapping[str, int] | None = None) -> bytes:
    """Return a whole file of zeros."""
    bits = {"BF16": 16, "F16": 16, "F32": 32, "I32": 32, "F8_E4M3": 8, "U8": 8} | (bits or {})
    entries, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape) in tensors.items():
        elements = 1
        for size in shape:
            elements *= size
        end = offset + elements * bits[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    return safetensors_of(entries, bytes(offset))


def safetensors_of(entries: Any, data: bytes = b"") -> bytes:
    raw = json.dumps(entries).encode()
    return struct.pack("<Q", len(raw)) + raw + data
