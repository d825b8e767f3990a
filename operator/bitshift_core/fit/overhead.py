"""What an engine needs besides weights and KV cache: activations, graphs, libraries, its own process.

Here: formulas that were fitted to logs; their constants are in `engines.yaml`. Not here: margins (`engines`).
"""

from ..artifact.facts import ArtifactFacts
from .engines import LlamaCppBand, VllmBand
from .spread import Stage
from .units import GIB, MIB, ceil_div, padded

HALF_PRECISION_BYTES, FLOAT_BYTES = 2, 4
LARGE_GPU_BYTES, HUGE_GPU_BYTES = 70 * GIB, 160 * GIB
LARGE_BATCHED_TOKENS, SMALL_BATCHED_TOKENS = 8_192, 2_048
LARGEST_GRAPH = 512
CUDA_CONTEXT_BYTES = 512 * MIB


def default_batched_tokens(gpu_bytes: int, gpu_product: str, *, huge_tokens: int = 0) -> int:
    """Return vLLM's own `max_num_batched_tokens` for an API server: large on cards from 70 GiB, A100 excepted.

    `huge_tokens` is what versions that tell still larger cards apart take there (vllm-project/vllm pull request 51726).
    """
    if huge_tokens and gpu_bytes >= HUGE_GPU_BYTES:
        return huge_tokens
    return LARGE_BATCHED_TOKENS if _is_large(gpu_bytes, gpu_product) else SMALL_BATCHED_TOKENS


def default_sequences(band: VllmBand, gpu_bytes: int, gpu_product: str) -> int:
    """Return vLLM's own `max_num_seqs`, which is larger on the same cards."""
    return band.large_sequences if _is_large(gpu_bytes, gpu_product) else band.sequences


def _is_large(gpu_bytes: int, gpu_product: str) -> bool:
    return gpu_bytes >= LARGE_GPU_BYTES and "A100" not in gpu_product.upper()


def profiled_tokens(band: VllmBand, *, context_tokens: int, batched_tokens: int) -> int:
    """Return how many tokens the profiling run passes through the model at once."""
    if not band.batch_follows_context:
        return batched_tokens
    whole = context_tokens or band.unstated_context
    is_chunked = band.chunks_above_tokens and whole > band.chunks_above_tokens
    return SMALL_BATCHED_TOKENS if is_chunked else max(whole, SMALL_BATCHED_TOKENS)


def vllm_activation_bytes(
    facts: ArtifactFacts, band: VllmBand, stage: Stage, *, tokens: int, sequences: int, gpus: int, element_bytes: int
) -> int:
    """Return the peak of the profiling run: the widest layer over a whole batch, or the sampler over all sequences.

    Logits are gathered, so the sampler's part does not shrink with GPUs; only the last stage samples. CodeLlama-7B:
    0.77 GiB, as printed; Llama-3.1-8B with 1024 sequences: 1.89 GiB, as printed.
    """
    hidden = tokens * facts.hidden_size * element_bytes
    base = int(band.activation_base_mib * MIB) + int(band.hidden_copies * hidden)
    tower = band.tower_mib * MIB if any(group.role == "tower" for group in facts.tensors) else 0
    per_logit = band.sampler_bytes_per_logit + element_bytes - HALF_PRECISION_BYTES
    sampler = int(min(sequences, tokens) * facts.vocab_size * per_logit) if stage.is_last else 0
    workspace = _expert_workspace_bytes(facts, tokens=tokens, gpus=gpus, element_bytes=element_bytes)
    if band.expert_workspace_stays and workspace:
        return base + tower + workspace + max(sampler, 2 * hidden)
    width = 3 * ceil_div(facts.intermediate_size or 4 * facts.hidden_size, gpus)
    layer = tokens * width * element_bytes + 2 * hidden
    return base + tower + max(layer + (2 * hidden if not stage.is_last else 0), sampler)


def _expert_workspace_bytes(facts: ArtifactFacts, *, tokens: int, gpus: int, element_bytes: int) -> int:
    """Return the two buffers that hold each token once for every expert it is sent to.

    Mixtral-8x7B over two GPUs: 672 MiB. MXFP4 kernels do without. Source: vLLM, `fused_moe/fused_moe.py`,
    TritonExperts.workspace_shapes.
    """
    if not facts.experts_per_token or "mxfp4" in facts.scheme:
        return 0
    width = ceil_div(facts.expert_intermediate_size, gpus)
    buffers = max(width, facts.hidden_size) + max(2 * width, facts.hidden_size)
    return tokens * facts.experts_per_token * buffers * element_bytes


def vllm_graph_bytes(facts: ArtifactFacts, band: VllmBand, stage: Stage, *, sequences: int) -> int:
    """Return the CUDA graphs' pool: some for each layer, in proportion to the batch sizes that are captured.

    On H100, 51 sizes: Llama-3.1-8B 0.91 GiB, Llama-3.3-70B 1.66 to 1.85, the first of four stages of 8B 0.51.
    """
    whole = band.graph_base_mib + band.graph_mib_per_layer * stage.layers + band.expert_graph_mib * bool(facts.experts)
    return int(whole * MIB) * captured_sizes(sequences, band.largest_graph) // captured_sizes(LARGEST_GRAPH)


def captured_sizes(sequences: int, largest_graph: int = LARGEST_GRAPH) -> int:
    """Return how many batch sizes are captured: 1, 2, 4, then by 8 up to 256 and by 16 up to 512 (51 in all)."""
    largest = min(2 * sequences, largest_graph)
    first = sum(size <= largest for size in (1, 2, 4))
    return first + min(largest, 256) // 8 + max(largest - 256, 0) // 16


def vllm_non_torch_bytes(band: VllmBand, *, gpus: int, stages: int, peer_access: bool) -> int:
    """Return what libraries take on each GPU; buffers that other GPUs of the stage write to dominate it."""
    if gpus > 1:
        return (band.non_torch_parallel_mib if peer_access else band.non_torch_host_mib) * MIB
    return (band.non_torch_pipeline_mib if stages > 1 and band.non_torch_pipeline_mib else band.non_torch_mib) * MIB


def llamacpp_compute_bytes(facts: ArtifactFacts, band: LlamaCppBand, *, context_tokens: int, sequences: int) -> int:
    """Return the compute buffer, the masks over all cells and the logits.

    SmolLM2-135M with one slot of 8192 tokens: 15.8 + 8 + 0.2 MiB (22.6 + 0.2 printed).
    """
    intermediate = facts.intermediate_size or 4 * facts.hidden_size
    layer = band.batch_tokens * FLOAT_BYTES * (3 * intermediate + 6 * facts.hidden_size)
    cells = padded(context_tokens, 256)
    mask = band.batch_tokens * cells * HALF_PRECISION_BYTES
    rows = max(band.output_rows_per_batch, sequences)
    scores = facts.attention_heads * cells * band.batch_tokens * FLOAT_BYTES if band.attention_is_materialised else 0
    return layer + mask + scores + rows * facts.vocab_size * FLOAT_BYTES


def llamacpp_process_bytes(facts: ArtifactFacts, band: LlamaCppBand) -> int:
    """Return the server's own memory: libraries, threads, and tables that grow with the vocabulary."""
    return band.process_mib * MIB + band.process_bytes_per_token * facts.vocab_size
