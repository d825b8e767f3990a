"""Write a Llama with random weights: `python random_weights.py SIZE FORMAT GGUF TARGET`, inside an engine's environment.

What it says is nonsense, what it costs is not: kernels do not look at numbers. Every layer holds the same ones, so each
matrix is rounded once. The last one gives words of letters alone a chance, so that each token is text that streams.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from checkpoints import AWQ, GPTQ, KEPT
from packing import awq_tensors, gptq_tensors, rounded
from safetensors.torch import save_file

GROUP_SIZE = 128
SPREAD = 0.02
CONTEXT_TOKENS = 8192
LARGEST_FP8 = 448.0
FP8 = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "quantization_status": "compressed",
    "ignore": [KEPT],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "dynamic": False},
            "input_activations": {
                "num_bits": 8, "type": "float", "strategy": "token", "symmetric": True, "dynamic": True,
            },
        }
    },
}  # fmt: skip
"""What llm-compressor writes for its scheme FP8_DYNAMIC."""
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """A Llama's widths; every one is a multiple of 128, as 4-bit kernels want it."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Return the linear layers of a block, as (out, in)."""
        kv = self.hidden // self.heads * self.kv_heads
        return {
            "self_attn.q_proj": (self.hidden, self.hidden),
            "self_attn.k_proj": (kv, self.hidden),
            "self_attn.v_proj": (kv, self.hidden),
            "self_attn.o_proj": (self.hidden, self.hidden),
            "mlp.gate_proj": (self.intermediate, self.hidden),
            "mlp.up_proj": (self.intermediate, self.hidden),
            "mlp.down_proj": (self.hidden, self.intermediate),
        }


SHAPES = {  # those of Llama 3.2 and 3.1, with a smaller vocabulary
    "tiny": Shape(512, 1536, 4, 8, 4),
    "1B": Shape(2048, 8192, 16, 32, 8),
    "3B": Shape(3072, 8192, 28, 24, 8),
    "8B": Shape(4096, 14336, 32, 32, 8),
}


def noise(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the same random numbers for the same name, whatever the format."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(crc32(name.encode()))) * SPREAD


def plain(weights: torch.Tensor) -> Tensors:
    """Return a layer as it is computed with."""
    return {"weight": weights.to(torch.bfloat16)}


def fp8(weights: torch.Tensor) -> Tensors:
    """Return a layer in 8 bits, with a scale for each output."""
    scales = weights.abs().amax(dim=1, keepdim=True) / LARGEST_FP8
    held = (weights / scales).clamp(-LARGEST_FP8, LARGEST_FP8).to(torch.float8_e4m3fn)
    return {"weight": held, "weight_scale": scales.to(torch.bfloat16)}


def packed_by(tensors_of: Callable[..., dict[str, Any]], *, symmetric: bool) -> Callable[[torch.Tensor], Tensors]:
    """Return what rounds a layer to 4 bits and packs it."""

    def packed(weights: torch.Tensor) -> Tensors:
        found = rounded(weights.T.contiguous().numpy(), GROUP_SIZE, symmetric=symmetric)
        return {part: torch.from_numpy(value.copy()) for part, value in tensors_of(found).items()}

    return packed


@dataclass(frozen=True)
class Format:
    """How linear layers are stored, and in what type the rest is."""

    stored: Callable[[torch.Tensor], Tensors]
    dtype: torch.dtype = torch.bfloat16
    config: dict[str, Any] | None = None


FORMATS = {
    "BF16": Format(plain),
    "FP8": Format(fp8, config=FP8),
    "AWQ": Format(packed_by(awq_tensors, symmetric=False), torch.float16, AWQ | {"group_size": GROUP_SIZE}),
    "GPTQ": Format(packed_by(gptq_tensors, symmetric=True), torch.float16, GPTQ | {"group_size": GROUP_SIZE}),
}


def files(shape: Shape, kind: Format, vocabulary: int, said: list[int]) -> Iterator[Tensors]:
    """Yield the tensors of each file: what lies around the layers, then each layer."""
    last = torch.zeros(vocabulary, shape.hidden)
    last[said] = noise(KEPT, (len(said), shape.hidden))
    around = {"model.embed_tokens": noise("embed_tokens", (vocabulary, shape.hidden)), KEPT: last}
    ones = torch.ones(shape.hidden, dtype=kind.dtype)
    yield {f"{name}.weight": tensor.to(kind.dtype) for name, tensor in around.items()} | {"model.norm.weight": ones}
    layer = {
        f"{name}.{part}": tensor
        for name, size in shape.matrices().items()
        for part, tensor in kind.stored(noise(name, size)).items()
    } | {f"{norm}.weight": ones.clone() for norm in ("input_layernorm", "post_attention_layernorm")}
    for number in range(shape.layers):
        yield {f"model.layers.{number}.{name}": tensor for name, tensor in layer.items()}


def config_of(shape: Shape, kind: Format, vocabulary: int) -> dict[str, Any]:
    """Return the model's `config.json`."""
    dtype = str(kind.dtype).removeprefix("torch.")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.hidden // shape.heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": CONTEXT_TOKENS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "dtype": dtype,
        "torch_dtype": dtype,
    }
    return config | ({"quantization_config": kind.config} if kind.config else {})


def write(size: str, name: str, gguf: Path, target: Path) -> None:
    """Write tokenizer, configuration, and one file of weights for each layer."""
    from transformers import AutoTokenizer

    shape, kind = SHAPES[size], FORMATS[name]
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.save_pretrained(target)
    words = {number: token.removeprefix("Ġ") for token, number in tokenizer.get_vocab().items()}
    said = sorted(number for number, word in words.items() if word.isascii() and word.isalpha())
    where: dict[str, str] = {}
    for number, tensors in enumerate(files(shape, kind, len(words), said)):
        file = f"model-{number + 1:05d}-of-{shape.layers + 1:05d}.safetensors"
        save_file(tensors, target / file, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, file)
    (target / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}, indent=1))
    (target / "config.json").write_text(json.dumps(config_of(shape, kind, len(words)), indent=1))


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
