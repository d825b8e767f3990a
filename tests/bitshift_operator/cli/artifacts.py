"""Artifacts on disk for tests of the command line: real headers, weights that are holes in the file."""

import json
import math
import struct
from pathlib import Path

from tests.bitshift_core.artifact.builders import gguf, llama_matrices

VOCABULARY, HIDDEN, INTERMEDIATE, KEY_VALUE, LAYERS = 128_256, 4_096, 14_336, 1_024, 32
MATRICES = llama_matrices(HIDDEN, KEY_VALUE, INTERMEDIATE)
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 131_072,
}


def llama_8b(folder: Path, dtype: str = "BF16") -> Path:
    """Lay down Llama-3.1-8B: 14.96 GiB in BF16, 7.5 GB of them holes, in 40 KiB of disk."""
    tensors = {name: ("BF16", (VOCABULARY, HIDDEN)) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    tensors["model.norm.weight"] = ("BF16", (HIDDEN,))
    for layer in range(LAYERS):
        tensors |= {f"model.layers.{layer}.{name}.weight": (dtype, shape) for name, shape in MATRICES.items()}
        norms = ("input_layernorm", "post_attention_layernorm")
        tensors |= {f"model.layers.{layer}.{name}.weight": ("BF16", (HIDDEN,)) for name in norms}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps(CONFIG | ({} if dtype == "BF16" else {"quantization_config": {"quant_method": "fp8"}}))
    )
    entries, offset = {}, 0
    for name, (kind, shape) in tensors.items():
        end = offset + math.prod(shape) * {"BF16": 2, "F8_E4M3": 1}[kind]
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    raw = json.dumps(entries).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + offset)
    return folder


def tiny_gguf(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf())
    return path
