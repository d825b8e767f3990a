"""Models of several sizes and schemes by their public configurations: what sizing knows before anything is downloaded."""

import json
from typing import Any

from bitshift_core.artifact.checkpoint import Beside, facts_from_config
from bitshift_core.artifact.config import read_config
from bitshift_core.artifact.facts import ArtifactFacts, FileFact

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "vocab_size": 128_256,
         "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 131_072}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "8b": LLAMA
    | {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 14_336},
    "70b": LLAMA
    | {"hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "intermediate_size": 28_672},
    "405b": LLAMA
    | {"hidden_size": 16_384, "num_hidden_layers": 126, "num_attention_heads": 128, "intermediate_size": 53_248},
}
SCHEMES: dict[str, dict[str, Any]] = {
    "bf16": {},
    "fp8": {"quant_method": "fp8", "activation_scheme": "static"},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
    "nvfp4": {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head"]},
}


def facts_of(size: str, scheme: str) -> ArtifactFacts:
    """Return what is known of such a model."""
    quantization = SCHEMES[scheme]
    config = SIZES[size] | ({"quantization_config": quantization} if quantization else {})
    files = (FileFact(name="model.safetensors", size_bytes=1),)
    return facts_from_config(read_config(json.dumps(config).encode()), files, Beside())
