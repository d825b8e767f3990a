"""What an engine needs besides weights and KV cache: activations, graphs, libraries, its own process.

Here: formulas that were fitted to logs; their constants are in `engines.yaml`. Not here: margins (`engines`).
"""

from ..artifact.facts import ArtifactFacts
from .engines import LlamaCppBand, VllmBand
from .units import GIB, MIB, ceil_div, padded

HALF_PRECISION_BYTES, FLOAT_BYTES = 2, 4
LARGE_GPU_BYTES = 70 * GIB
LARGE_BATCHED_TOKENS, SMALL_BATCHED_TOKENS = 8_192, 2_048
LARGEST_GRAPH = 512
CUDA_CONTEXT_BYTES = 512 * MIB


def default_batched_tokens(gpu_bytes: int, gpu_product: str) -> int:
    """Return vLLM's own `max_num_batched_tokens` for an API server: large on cards from 70 GiB, A100 excepted."""
    is_large = gpu_bytes >= LARGE_GPU_BYTES and "A100" not in gpu_product.upper()
    return LARGE_BATCHED_TOKENS if is_large else SMALL_BATCHED_TOKENS


def vllm_activation_bytes(
    facts: ArtifactFacts, band: VllmBand, *, batched_tokens: int, sequences: int, gpus: int
) -> int:
    """Return the peak of the profiling run: the widest layer over a whole batch, or the sampler over all sequences.

    Logits are gathered, so the sampler's part does not shrink with GPUs. CodeLlama-7B: 0.75 GiB (0.77 printed);
    Llama-3.1-8B with 1024 sequences: 1.89 GiB (1.89 printed).
    """
    widths = 3 * ceil_div(facts.intermediate_size or 4 * facts.hidden_size, gpus) + 4 * facts.hidden_size
    layer = batched_tokens * widths * HALF_PRECISION_BYTES
    sampler = int(sequences * facts.vocab_size * band.sampler_bytes_per_logit) + band.sampler_base_mib * MIB
    return max(layer, sampler)


def vllm_graph_bytes(band: VllmBand, *, sequences: int) -> int:
    """Return the CUDA graphs' pool: so much for each batch size that is captured."""
    return band.graph_mib_per_size * MIB * captured_sizes(sequences)


def captured_sizes(sequences: int) -> int:
    """Return how many batch sizes are captured: 1, 2, 4, then by 8 up to 256 and by 16 up to 512 (51 in all)."""
    largest = min(2 * sequences, LARGEST_GRAPH)
    first = sum(size <= largest for size in (1, 2, 4))
    return first + min(largest, 256) // 8 + max(largest - 256, 0) // 16


def vllm_non_torch_bytes(band: VllmBand, *, gpus: int) -> int:
    """Return what libraries take on each GPU; communication between GPUs dominates it."""
    return (band.non_torch_parallel_mib if gpus > 1 else band.non_torch_mib) * MIB


def vllm_warm_up_bytes(facts: ArtifactFacts, *, sequences: int) -> int:
    """Return the second sampler run's logits: it comes after the KV cache was taken and is outside the budget."""
    return sequences * facts.vocab_size * FLOAT_BYTES


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
