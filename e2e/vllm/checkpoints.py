"""Write one checkpoint: `python checkpoints.py NAME SOURCE TARGET`, inside the environment that `artifacts` makes.

The parent is the GGUF file that a Python package ships, de-quantized once to 16 bits. llm-compressor writes what it
can on a CPU; AWQ and GPTQ are packed here, rounded to the nearest. They prove loading and kernels, not the best quality.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from packing import AWQ_ORDER, PLAIN_ORDER, Rounded, awq_tensors, gptq_tensors, rounded
from safetensors.torch import load_file, save_file

GROUP_SIZE = 64  # 576 inputs are no multiple of 128
KEPT = "lm_head"
SCHEMES = {  # llm-compressor's own names, and how it rounds
    "W4A16": "W4A16_ASYM",
    "INT8": "INT8",
    "FP8": "FP8_DYNAMIC",
    "FP8-BLOCK": "FP8_BLOCK",
    "W8A16": "W8A16",
}
AWQ = {"quant_method": "awq", "version": "gemm", "bits": 4, "group_size": GROUP_SIZE, "zero_point": True,
       "modules_to_not_convert": [KEPT]}  # fmt: skip
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": GROUP_SIZE, "desc_act": False, "sym": True, "lm_head": False,
        "checkpoint_format": "gptq", "meta": {"quantizer": ["gptqmodel:4.0.0"]}}  # fmt: skip
DAMAGED = "model.layers.0.mlp.down_proj.weight_scale"


def parent(source: Path, target: Path) -> None:
    """De-quantize a GGUF file."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    told = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    plain = GgufConfig(dequantize=True)
    AutoModelForCausalLM.from_pretrained(**told, dtype=torch.bfloat16, quantization_config=plain).save_pretrained(
        target
    )
    AutoTokenizer.from_pretrained(**told).save_pretrained(target)


def compressed(source: Path, target: Path, scheme: str) -> None:
    """Let llm-compressor quantize all linear layers but the last."""
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    oneshot(model=model, recipe=QuantizationModifier(ignore=[KEPT], **_scheme(scheme)))
    model.save_pretrained(target, save_compressed=True)
    AutoTokenizer.from_pretrained(source).save_pretrained(target)


def _scheme(name: str) -> dict[str, Any]:
    """Return what the modifier is told: a preset, with groups that divide this model's width."""
    from compressed_tensors.quantization import preset_name_to_scheme

    scheme = preset_name_to_scheme(name, targets=["Linear"])
    if scheme.weights.group_size:
        scheme.weights.group_size = GROUP_SIZE
        scheme.weights.observer = "mse"
    return {"config_groups": {"group_0": scheme}}


def packed_checkpoint(
    source: Path, target: Path, config: dict[str, Any], tensors_of: Callable[[Rounded], dict[str, Any]]
) -> None:
    """Write a checkpoint whose linear layers are rounded and packed, and leave all else as it is."""
    shutil.copytree(source, target)
    kept: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        layer = name.removesuffix(".weight")
        if tensor.ndim != 2 or not layer.endswith("_proj"):
            kept[name] = tensor.to(torch.float16)
            continue
        weights = tensor.to(torch.float32).T.contiguous().numpy()
        found = rounded(weights, GROUP_SIZE, symmetric=config.get("sym", False))
        kept |= {f"{layer}.{part}": torch.from_numpy(value.copy()) for part, value in tensors_of(found).items()}
    save_file(kept, target / "model.safetensors", metadata={"format": "pt"})
    _configure(target, {"quantization_config": config, "dtype": "float16", "torch_dtype": "float16"})


def damaged(source: Path, target: Path) -> None:
    """Copy a checkpoint with the scales of one tensor ten times too large: it loads, says ready, and answers garbage."""
    shutil.copytree(source, target)
    tensors = load_file(source / "model.safetensors")
    tensors[DAMAGED] = tensors[DAMAGED] * 10
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})


def _configure(target: Path, more: dict[str, Any]) -> None:
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more, indent=1))


def main(name: str, source: Path, target: Path) -> None:
    """Write the checkpoint of that name."""
    match name:
        case "BF16":
            parent(source, target)
        case "AWQ" | "AWQ-SHUFFLED":
            order = AWQ_ORDER if name == "AWQ" else PLAIN_ORDER
            packed_checkpoint(source, target, AWQ, lambda found: awq_tensors(found, order))
        case "GPTQ":
            packed_checkpoint(source, target, GPTQ, gptq_tensors)
        case "W4A16-DAMAGED" | "INT8-DAMAGED":
            damaged(source, target)
        case _:
            compressed(source, target, SCHEMES[name])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
