"""How many bytes of weights each GPU holds.

Here: what is split and what is replicated, and what an engine adds, drops or pads while it loads. Not here: bytes of a
tensor (`artifact`: they come from the file, never from a scheme's name).
"""

from ..artifact.facts import ArtifactFacts, TensorGroup
from .engines import VllmBand
from .need import Need
from .spread import Stage, stages_of
from .units import MIB, ceil_div, padded

SPLIT_ROLES = frozenset({"embedding", "output", "block", "expert", "tower"})
HALF_PRECISION_BYTES, FLOAT_BYTES = 2, 4
PLAIN_DTYPES = {"F32": 4, "F16": 2, "BF16": 2}
ENGINE_DTYPES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
ABSORBED_HEAD_DIMS = 256
"""Non-rotary key plus value width of a head under latent attention: 128 + 128 in every DeepSeek-like model."""
LARGE_ALLOCATION, ALLOCATION_STEP, LARGEST_REST = 10 * MIB, 2 * MIB, MIB
UNSTATED_POSITIONS, UNSTATED_CHUNKED_POSITIONS = 32_768, 10_485_760
"""Attention in chunks is for contexts without end: Llama 4 rotates up to ten million positions."""
MARLIN_INPUTS, MARLIN_OUTPUTS = 128, 256
ONLINE_PER_MILLE = {
    "fp8": 1_000,
    "fp8_per_tensor": 1_000,
    "fp8_per_channel": 1_000,
    "fp8_per_block": 1_000,
    "int8_per_channel_weight_only": 1_000,
    "experts_int8": 1_000,
    "mxfp8": 1_031,
    "nvfp4_per_token": 563,
    "bitsandbytes": 516,
}
"""Bytes for each thousand weights: with few scales, one for each 32 or 16, or 4 bits with doubly quantized scales."""
EXPERTS_ONLY = "experts_"
"""Methods of that name leave attention as it is."""


def vllm_weight_bytes(need: Need, band: VllmBand, stage: Stage | None = None) -> int:
    """Return the bytes on each GPU of a stage: matrices split, those of towers too, norms and routers replicated.

    Llama-3.1-8B in BF16 on one GPU: 14.96 GiB of tensors + 32 MiB of rotary tables = 14.99 GiB, as vLLM prints. An
    embedding that is also the output is held by the first stage and by the last. Llama-4-Scout over four GPUs: 50.6 GiB
    of tensors + 2.5 GiB of tables for its ten million positions = 53.1 (53.12 printed).
    """
    facts, gpus = need.facts, max(need.gpus_per_stage, 1)
    stage = stage or stages_of(facts.layers, 1)[0]
    total = sum(_stage_bytes(group, need, stage, gpus) for group in facts.tensors if not _is_dropped(group, need, band))
    tables = _rotary_table_bytes(need) + ceil_div(stage.part(_absorbed_bytes(facts)), gpus)
    draft = vllm_weight_bytes(draft_need(need), band) if need.draft and stage.is_last else 0
    return (
        total
        + band.weights_extra_mib * MIB
        + tables
        + draft
        + stage.part(_adapter_bytes(need, gpus))
        + _lost_bytes(need, stage, gpus)
    )


def load_peak_bytes(need: Need, band: VllmBand) -> int:
    """Return what a GPU holds at most while loading: a repacked layer exists twice, an unquantized model whole.

    Qwen2.5-72B quantized on loading fits 141 GB in vLLM 0.12 and no longer in 0.13 (vllm-project/vllm issue 31273).
    """
    facts, gpus = need.facts, max(need.gpus_per_stage, 1)
    held = max(vllm_weight_bytes(need, band, stage) for stage in stages_of(facts.layers, need.pipeline_stages))
    if need.quantization:
        return max(held, ceil_div(facts.weight_bytes, gpus * max(need.pipeline_stages, 1)))
    layer = sum(group.bytes for group in facts.tensors if group.role == ("expert" if facts.experts else "block"))
    is_plain = all(group.dtype in PLAIN_DTYPES for group in facts.tensors)
    return held if is_plain else held + ceil_div(layer, facts.layers * gpus)


def llamacpp_weight_bytes(facts: ArtifactFacts, *, gpus: int, gpu_layers: int = -1) -> int:
    """Return the bytes in host memory, or on the fullest GPU: layers are dealt out whole, the embedding stays behind.

    On CPU every tensor is mapped; what is repacked for the CPU is read once and its mapping reclaimed.
    """
    if not gpus:
        return facts.weight_bytes
    layers, output = _llamacpp_parts(facts)
    offloaded = facts.layers if gpu_layers < 0 else min(gpu_layers, facts.layers)
    with_output = gpu_layers < 0 or gpu_layers > facts.layers
    return ceil_div(layers * ceil_div(offloaded, gpus), facts.layers) + (ceil_div(output, gpus) if with_output else 0)


def llamacpp_host_bytes(facts: ArtifactFacts, *, gpu_layers: int = -1) -> int:
    """Return the bytes of weights that stay in host memory beside GPUs: the embedding and layers not offloaded.

    Qwen3-30B-A3B with 30 of 49 layers offloaded: 10,750.86 MiB on the GPU and 6,940.48 MiB mapped, the whole file.
    """
    layers, output = _llamacpp_parts(facts)
    offloaded = facts.layers if gpu_layers < 0 else min(gpu_layers, facts.layers)
    stays = layers - ceil_div(layers * offloaded, facts.layers)
    embedding = sum(group.bytes for group in facts.tensors if group.role == "embedding")
    return embedding + stays + (0 if gpu_layers < 0 or gpu_layers > facts.layers else output)


def draft_need(need: Need) -> Need:
    """Return the draft model as a need of its own."""
    assert need.draft is not None
    sequences = need.concurrent_sequences
    return Need(need.draft, need.runtime, need.engine_version, need.context_tokens, sequences, need.gpus_per_stage)


def _llamacpp_parts(facts: ArtifactFacts) -> tuple[int, int]:
    """Return the bytes of all layers, and of the output, which is the embedding again where they are tied."""
    layers = sum(group.bytes for group in facts.tensors if group.role in ("block", "expert", "other", "tower"))
    output = "embedding" if facts.ties_output_to_embedding else "output"
    return layers, sum(group.bytes for group in facts.tensors if group.role == output)


def _is_dropped(group: TensorGroup, need: Need, band: VllmBand) -> bool:
    """Return whether the engine does not keep it: draft layers without speculation, what Marlin does not read.

    GPTQ's zeros and order are replaced by the kernels of vLLM from 0.4 on, which take symmetric weights in order.
    """
    if group.role == "draft":
        return not need.guesses_with_own_layers
    is_gptq = need.facts.scheme.startswith(("gptq", "auto-round", "autoround"))
    return is_gptq and band.drops_zeros and group.part in ("zero", "index")


def _stage_bytes(group: TensorGroup, need: Need, stage: Stage, gpus: int) -> int:
    size = _loaded_bytes(group, need, gpus)
    match group.role:
        case "embedding":
            held = stage.is_first or (stage.is_last and need.facts.ties_output_to_embedding)
            return ceil_div(size, gpus) if held else 0
        case "output":
            return ceil_div(size, gpus) if stage.is_last else 0
        case "tower":
            return ceil_div(size, gpus) if stage.is_first else 0
        case "draft":
            return ceil_div(size, gpus) if stage.is_last else 0
        case "expert" if need.expert_parallel and need.facts.experts:
            experts = need.facts.experts
            return stage.part(ceil_div(size, experts) * ceil_div(experts, gpus * need.data_parallel))
        case "block" | "expert":
            return ceil_div(stage.part(size), gpus)
    return stage.part(size)


def _loaded_bytes(group: TensorGroup, need: Need, gpus: int) -> int:
    """Return the bytes once loaded, over all GPUs of the stage."""
    facts = need.facts
    if group.dtype not in PLAIN_DTYPES:
        return _padded_expert_bytes(group, facts, 1 if need.expert_parallel else gpus)
    if need.quantization in ONLINE_PER_MILLE and _is_quantized_online(group, need):
        return group.elements * ONLINE_PER_MILLE[need.quantization] // 1_000
    if facts.scheme not in PLAIN_DTYPES:
        return group.bytes
    return group.elements * ENGINE_DTYPES.get(need.dtype, HALF_PRECISION_BYTES)


def _is_quantized_online(group: TensorGroup, need: Need) -> bool:
    roles = ("expert",) if need.quantization.startswith(EXPERTS_ONLY) else ("block", "expert")
    return group.role in roles and group.part == "weight"


def _padded_expert_bytes(group: TensorGroup, facts: ArtifactFacts, gpus: int) -> int:
    """Return the bytes of MXFP4 experts after padding to what the Marlin kernel divides by.

    gpt-oss-120b, 2880 wide both ways: padded to 2944 and 3072 it is 65.97 GiB, as vLLM prints, not 60.7. Source: vLLM,
    `layers/quantization/mxfp4.py`, create_weights.
    """
    if group.role != "expert" or "mxfp4" not in facts.scheme or not facts.expert_intermediate_size:
        return group.bytes
    width = ceil_div(facts.expert_intermediate_size, gpus)
    whole = width * gpus * facts.hidden_size
    return group.bytes * padded(width, MARLIN_INPUTS) * gpus * padded(facts.hidden_size, MARLIN_OUTPUTS) // whole


def _rotary_table_bytes(need: Need) -> int:
    """Return the cosines and sines that vLLM keeps for every trained position, however short the context is set."""
    facts = need.facts
    widths = (
        group.rotary_dim or (group.key_dim - group.value_dim if group.kind == "mla" else group.key_dim)
        for group in facts.attention
    )
    unstated = UNSTATED_CHUNKED_POSITIONS if any(group.is_chunked for group in facts.attention) else UNSTATED_POSITIONS
    positions = facts.context_tokens or max(unstated, need.context_tokens)
    return positions * max(widths, default=0) * ENGINE_DTYPES.get(need.dtype, HALF_PRECISION_BYTES)


def _absorbed_bytes(facts: ArtifactFacts) -> int:
    """Return the absorbed up-projections that latent attention keeps beside the stored one."""
    per_latent = facts.attention_heads * ABSORBED_HEAD_DIMS * HALF_PRECISION_BYTES
    return sum(group.layers * group.value_dim * per_latent for group in facts.attention if group.kind == "mla")


def _lost_bytes(need: Need, stage: Stage, gpus: int) -> int:
    """Return what torch's allocator gives to large tensors beyond their size, and counts as theirs.

    From 10 MiB on it takes whole steps of 2 MiB from the driver, and keeps a rest of up to 1 MiB with the tensor.
    Qwen2.5-7B: 259 + 129.5 + 31.5 MiB in each of 28 layers lose 2 MiB, 14.19 GiB become 14.25, as vLLM prints; phi-4:
    27.31 become 27.39. Source: PyTorch, `c10/cuda/CUDACachingAllocator.cpp` (get_allocation_size, should_split).
    """
    if need.quantization or need.dtype not in ("", "auto"):
        return 0
    lost = {"layer": 0, "ends": 0}
    for piece in need.facts.pieces:
        share = ceil_div(piece.bytes, gpus) if piece.role in SPLIT_ROLES else piece.bytes
        rest = -share % ALLOCATION_STEP
        if piece.role != "draft" and share >= LARGE_ALLOCATION and rest <= LARGEST_REST:
            lost["layer" if piece.role in ("block", "expert", "other") else "ends"] += rest * piece.count
    return stage.part(lost["layer"]) + (lost["ends"] if stage.is_first or stage.is_last else 0)


def _adapter_bytes(need: Need, gpus: int) -> int:
    """Return LoRA's pairs of narrow matrices on every projection of attention and MLP; half of each pair is split.

    Source: vLLM, `lora/layers`: stacked tensors for so many adapters of the largest rank, in 16 bits.
    """
    facts = need.facts
    heads = facts.attention_heads * max((group.key_dim for group in facts.attention), default=0)
    keys = max((group.kv_heads * group.key_dim for group in facts.attention), default=0)
    whole = 5 * facts.hidden_size + heads + facts.intermediate_size
    split = heads + 2 * keys + 2 * facts.intermediate_size + 2 * facts.hidden_size
    width = whole + ceil_div(split, gpus)
    return need.adapters * need.adapter_rank * width * facts.layers * HALF_PRECISION_BYTES
