"""The name of a checkpoint's quantization, from its `quantization_config`.

Here: names. Not here: which kernels serve a scheme (`fit`). The same words stand in a RuntimeProfile's `schemes`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

BITSANDBYTES_BITS = {4: "bitsandbytes/nf4", 8: "bitsandbytes/int8"}


def scheme_of(quantization: Mapping[str, Any]) -> str:
    """Return the scheme's name; a method that is not known here keeps its own, so that it can be refused by name."""
    silent = "modelopt" if quantization.get("quant_algo") else "unknown"  # ModelOpt's own file names no method
    method = str(quantization.get("quant_method") or silent).lower()
    if method in ("awq", "gptq"):
        bits = _bits(quantization)
        return method if bits in (0, 4) else f"{method}-int{bits}"
    if method == "fp8":
        return "fp8-block" if quantization.get("weight_block_size") else "fp8"
    if method == "compressed-tensors":
        return f"compressed-tensors/{_compressed(quantization)}"
    if method == "bitsandbytes":
        return BITSANDBYTES_BITS[4 if quantization.get("load_in_4bit") or quantization.get("_load_in_4bit") else 8]
    if method.startswith("modelopt"):
        return f"modelopt/{str(quantization.get('quant_algo') or method.removeprefix('modelopt_')).lower()[:32]}"
    return method[:48]


def kv_cache_dtype_of(quantization: Mapping[str, Any]) -> str:
    """Return the KV cache type that the checkpoint itself turns on, empty for none."""
    named = quantization.get("kv_cache_quant_algo")
    scheme = quantization.get("kv_cache_scheme")
    if isinstance(named, str) and named:
        return named.lower()[:16]
    if isinstance(scheme, dict) and _bits(scheme, "num_bits") == 8:
        return "fp8" if scheme.get("type") == "float" else "int8"
    return ""


def _compressed(quantization: Mapping[str, Any]) -> str:
    group = next(_groups(quantization), {})
    weights, activations = group.get("weights") or {}, group.get("input_activations") or {}
    bits, is_float = _bits(weights, "num_bits"), weights.get("type") == "float"
    if is_float and bits == 4:
        kind = "mxfp4" if "mxfp4" in str(quantization.get("format")) else "nvfp4"
        return kind if activations else f"{kind}a16"
    if is_float and bits == 8 and "mxfp8" in str(quantization.get("format")):
        return "mxfp8"
    if is_float and bits == 8:
        return ("fp8-block" if weights.get("strategy") == "block" else "fp8") if activations else "fp8a16"
    return f"w{bits}a{_bits(activations, 'num_bits') or 16}" if bits else "unknown"


def _groups(quantization: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    groups = quantization.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        if isinstance(group, dict) and isinstance(group.get("weights"), dict):
            activations = group.get("input_activations")
            yield group | {"input_activations": activations if isinstance(activations, dict) else None}


def _bits(settings: Mapping[str, Any], key: str = "bits") -> int:
    value = settings.get(key) or settings.get("w_bit") or 0
    return value if isinstance(value, int) and 0 < value <= 32 else 0
