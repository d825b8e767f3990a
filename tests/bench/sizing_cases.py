"""A case of the benchmark's file as the `config.json`, the flags and the GPU that someone had before the start.

Here: translation only; nothing here computes a size. `observed`, `verbatim`, `notes`, `id` and `source_url` are not
passed on, and `model_id` is only shown.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from bitshift_core.artifact.checkpoint import Beside, facts_from_config
from bitshift_core.artifact.config import read_config
from bitshift_core.artifact.facts import ArtifactFacts, FileFact
from bitshift_core.fit.gpu import Gpu
from bitshift_core.fit.kv_cache import shape_of
from bitshift_core.fit.need import Need
from bitshift_core.fit.pages import pages_of
from bitshift_core.fit.units import GIB
from tests.bitshift_core.fit.builders import constants

RUNTIMES = {"llama.cpp": "llamacpp"}
COPIED = (
    "head_dim",
    "hidden_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "tie_word_embeddings",
    "vocab_size",
    "attention_bias",
    "intermediate_size",
    "moe_intermediate_size",
    "num_experts",
    "num_experts_per_tok",
    "first_k_dense_replace",
    "dense_intermediate_size",
    "shared_expert_intermediate_size",
    "sliding_window",
    "attention_chunk_size",
    "kv_lora_rank",
    "q_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "linear_conv_kernel_dim",
    "linear_key_head_dim",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_value_head_dim",
)
SMALL_BLOCK, MAX_SPECULATED = 16, 8
FAMILY = "LlamaForCausalLM"
"""A case does not tell its family; one that sizing knows stands for all, so that no name decides anything."""
DECIDING = {
    "gpu_memory_utilization": "utilization",
    "max_num_seqs": "sequences",
    "max_num_batched_tokens": "batch",
    "max_model_len": "context",
    "enforce_eager": "graphs",
}
PLAIN = ("", "bf16", "fp16", "fp32")
ONLINE = {"fp8-runtime": "fp8", "bnb-runtime": "bitsandbytes"}
LAST_OF_V0 = "0.7.3"
COMPRESSED_INT = {"type": "int", "symmetric": True}
DATA_PARALLEL = re.compile(r"\bDP(\d+)\+EP\b")
"""Where a case tells it: with the cards, as what they are used for."""
GIBIBYTES = re.compile(r"(\d+)\s?GB")


@dataclass(frozen=True)
class Case:
    """What was known before the start, and apart from it what was seen."""

    facts: ArtifactFacts
    need: Need
    gpu: Gpu | None
    """None where neither the card nor its memory is named."""
    states_everything: bool
    """Whether utilization, sequences and batched tokens are all stated."""
    states_utilization: bool
    untold: tuple[str, ...] = ()
    """What decides and nobody stated: the engine's default stands for it, which may not be what was run."""


def case_of(known: dict[str, Any]) -> Case:
    """Return the case through the same path that a checkpoint's `config.json` takes."""
    config = read_config(json.dumps(config_of(known)).encode())
    towers = known["arch"].get("vision_extra_params")
    if towers:
        config = replace(config, has_tower=True, tower_elements=int(towers))
    facts = facts_from_config(config, (FileFact(name="model.safetensors", size_bytes=1),), Beside())
    flags = ("gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens")
    stated = [known.get(flag) is not None for flag in flags]
    need = need_of(known, facts)
    untold = tuple(word for flag, word in DECIDING.items() if known.get(flag) is None)
    need = replace(need, speculative_tokens=speculated(need))
    return Case(facts, need, gpu_of(known), all(stated), stated[0], untold)


def speculated(need: Need) -> int:
    """Return how many tokens are guessed ahead where the stated block gives it away.

    vLLM makes the attention block of a hybrid model as large as a recurrent state, which grows with each guessed token.
    """
    if not any(group.kind == "linear" for group in need.facts.attention) or need.block_tokens <= SMALL_BLOCK:
        return 0
    band = constants().vllm[-1]
    shapes = {
        tokens: shape_of(replace(need, block_tokens=SMALL_BLOCK, speculative_tokens=tokens), band)
        for tokens in range(MAX_SPECULATED + 1)
    }
    blocks = {tokens: pages_of(need.facts.attention, shape).block_tokens for tokens, shape in shapes.items()}
    return next((tokens for tokens, block in blocks.items() if block == need.block_tokens), 0)


def need_of(known: dict[str, Any], facts: ArtifactFacts) -> Need:
    """Return the flags; what is not stated stays with the engine's defaults."""
    scheme = str(known.get("scheme") or "")
    runtime = str(known.get("runtime") or "vllm")
    shares = DATA_PARALLEL.search(str(known.get("gpu") or ""))
    return Need(
        facts=facts,
        runtime=RUNTIMES.get(runtime, runtime),
        engine_version=_version(str(known.get("runtime_version") or "")),
        context_tokens=known.get("max_model_len") or 0,
        concurrent_sequences=known.get("max_num_seqs") or 0,
        gpus_per_replica=(known.get("tensor_parallel") or 1) * (known.get("pipeline_parallel") or 1),
        kv_cache_dtype=known.get("kv_cache_dtype") or "auto",
        memory_utilization_percent=100 * (known.get("gpu_memory_utilization") or 0),
        batched_tokens=known.get("max_num_batched_tokens") or 0,
        pipeline_stages=known.get("pipeline_parallel") or 1,
        dtype="float32" if scheme == "fp32" else "",
        quantization=ONLINE.get(scheme, ""),
        block_tokens=known.get("block_size") or 0,
        enforce_eager=known.get("enforce_eager") is True,
        expert_parallel=shares is not None,
        data_parallel=int(shares[1]) if shares else 1,
    )


def gpu_of(known: dict[str, Any]) -> Gpu | None:
    """Return the card: what software saw of it where that is stated, else its name and marketing size."""
    product, seen = str(known.get("gpu") or ""), known.get("gpu_total_gib")
    size = GIBIBYTES.search(product)
    gpu = Gpu(int(size[1]) * GIB if size else 0, product, int((seen or 0) * GIB))
    return gpu if gpu.usable_bytes else None


def config_of(known: dict[str, Any]) -> dict[str, Any]:
    """Return the `config.json` that such an architecture has."""
    arch, scheme = known["arch"], str(known.get("scheme") or "")
    config = {"architectures": [FAMILY], "torch_dtype": _dtype(scheme)}
    config |= {name: arch[name] for name in COPIED if arch.get(name) is not None}
    if arch.get("gated_mlp") is False:
        config["mlp_hidden_act"] = "relu2"
    if kinds := _layer_types(arch):
        config["layer_types"] = kinds
    if arch.get("linear_num_value_heads"):
        config["mtp_num_hidden_layers"] = 1
    if arch.get("multimodal"):
        config["vision_config"] = {}
    quantization = quantization_of(scheme, known.get("group_size"), known.get("weight_bits"), arch)
    return config | ({"quantization_config": quantization} if quantization else {})


def quantization_of(scheme: str, group: int | None, bits: float | None, arch: dict[str, Any]) -> dict[str, Any]:
    """Return the `quantization_config` that quantizers write for such a scheme."""
    size = group or 128
    bits = int(bits or 4)
    if scheme.startswith(("awq", "gptq", "autoround")):
        method = "auto-round" if scheme.startswith("autoround") else scheme.split("-")[0]
        return {"quant_method": method, "bits": bits, "group_size": size}
    if scheme.startswith("fp8-block"):
        return {"quant_method": "fp8", "weight_block_size": [size, size]}
    if scheme.startswith("fp8-fbgemm"):
        edges = [f"layers.{layer}" for layer in (0, arch["num_hidden_layers"] - 1)]
        return {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["self_attn", "lm_head", *edges]}
    if scheme.startswith("fp8") and "compressed" in scheme:
        return _compressed(8, "float", "channel", 8)
    if scheme.startswith("w8a8"):
        return _compressed(8, "int", "channel", 8)
    if match := re.match(r"w(\d)a16", scheme):
        return _compressed(int(match[1]), "int", "group", 0, size)
    if scheme.startswith("int4-experts"):
        kept = ["lm_head", "self_attn", "shared_experts", *(f"layers.{layer}.mlp.up_proj" for layer in range(3))]
        return _compressed(4, "int", "group", 0, group or 32) | {"ignore": kept}
    if scheme.startswith("nvfp4"):
        return {
            "quant_method": "modelopt",
            "quant_algo": "NVFP4",
            "exclude_modules": ["lm_head", "*linear_attn.in_proj*"],
        }
    if scheme.startswith("mxfp4"):
        return {"quant_method": "mxfp4", "modules_to_not_convert": ["self_attn", "router", "embed_tokens", "lm_head"]}
    if scheme.startswith("bnb"):
        double = {"bnb_4bit_use_double_quant": True}
        return {"quant_method": "bitsandbytes", "load_in_4bit": "int8" not in scheme} | double
    if scheme in PLAIN or scheme in ONLINE:
        return {}
    if "fp8" in scheme:
        return {"quant_method": "fp8"}
    if "int8" in scheme or "int4" in scheme:
        return _compressed(8 if "int8" in scheme else 4, "int", "group", 0, group or 0)
    return {"quant_method": scheme}


def _compressed(bits: int, kind: str, strategy: str, activations: int, group: int = 0) -> dict[str, Any]:
    weights = COMPRESSED_INT | {"num_bits": bits, "type": kind, "strategy": strategy, "group_size": group}
    inputs = {"num_bits": activations, "type": kind} if activations else None
    entry = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": entry}, "ignore": ["lm_head"]}


def _version(stated: str) -> str:
    """Return the version; where only the generation is stated, the last release of the old one."""
    return LAST_OF_V0 if "V0" in stated and not re.search(r"\d\.\d", stated) else stated


def _dtype(scheme: str) -> str:
    return {"fp32": "float32", "fp16": "float16"}.get(scheme, "bfloat16")


def _layer_types(arch: dict[str, Any]) -> list[str]:
    layers = arch.get("num_hidden_layers") or 0
    if linear := arch.get("linear_attention_layers"):
        return ["linear_attention"] * linear + ["full_attention"] * (layers - linear)
    if sliding := arch.get("sliding_window_layers"):
        kind = "chunked_attention" if arch.get("attention_chunk_size") else "sliding_attention"
        return [kind] * sliding + ["full_attention"] * (layers - sliding)
    return []
