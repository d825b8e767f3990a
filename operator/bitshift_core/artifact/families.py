"""Which architectures sizing knows: families whose layers and caches follow the rules that are written down here.

What is not known is still sized from its tensors, in a wider band, and said so.
"""

FAMILIES = (
    "llama", "mistral", "mixtral", "ministral", "pixtral", "llava", "qwen2", "qwen3", "qwen", "gemma", "phi", "gptoss",
    "deepseekv2", "deepseekv3", "deepseek2", "deepseekforcausallm", "kimi", "granite", "falcon", "cohere", "commandr",
    "olmo", "starcoder", "gpt2", "gptneox", "gptj", "gptbigcode", "opt", "bloom", "mpt", "internlm", "baichuan",
    "chatglm", "glm4", "minicpm", "minimax", "nemotron", "mamba2", "bamba", "smollm", "exaone", "stablelm", "seedoss",
    "orion", "yi", "solar", "dbrx", "mllama", "lfm2",
)  # fmt: skip
NOT_THESE = ("deepseekv32", "deepseekv4", "mamba", "recurrent")
"""Of these the cache is packed or kept in ways that the sums do not follow."""


def is_known(architecture: str) -> bool:
    """Return whether the architecture, as a class of transformers or a name of llama.cpp, is of a known family."""
    name = "".join(letter for letter in architecture.lower() if letter.isalnum())
    is_exception = name.startswith(NOT_THESE) and not name.startswith("mamba2")
    return name.startswith(FAMILIES) and not is_exception


def notes_on(architecture: str) -> tuple[str, ...]:
    """Return what a reader should know of an architecture that is not known."""
    if is_known(architecture):
        return ()
    return (f"The architecture {architecture[:64]!r} is not known: sized from its tensors alone, in a wider band.",)
