"""What is known of an artifact once its headers were read: the only thing that later decisions see of it.

Here: the shape of the facts, small enough for a ConfigMap. Not here: reading them (`gguf`, `checkpoint`).
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from ..api.base import ApiObject
from .errors import malformed
from .families import is_known

MAX_FILES = 512
MAX_NOTES = 16

AttentionKind = Literal["full", "sliding", "mla", "linear"]
TensorRole = Literal["embedding", "output", "block", "expert", "tower", "other", "draft"]
TensorPart = Literal["weight", "scale", "zero", "index"]
Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(max_length=71, pattern=r"^(sha256:[0-9a-f]{64})?$")]


class FileFact(ApiObject):
    """One file that holds weights; `sha256` is empty where the bytes were not all read."""

    name: Annotated[str, Field(min_length=1, max_length=96)]
    size_bytes: Count
    sha256: Digest = ""


class LayerGroup(ApiObject):
    """Layers whose cache has one shape; never a list of each layer."""

    kind: AttentionKind
    layers: Annotated[int, Field(ge=1)]
    kv_heads: Count = 0
    key_dim: Count = 0
    """Elements of one head's key; for `mla` the latent and its rotary part, which is all that vLLM keeps."""
    value_dim: Count = 0
    """Elements of one head's value; for `mla` the latent again, which some engines keep a second time."""
    is_chunked: bool = False
    """Whether a window does not slide but starts anew after each `window_tokens`."""
    rotary_dim: Count = 0
    """Elements of a head that are rotated; 0 where it is the whole key, or for `mla` what lies outside the latent."""
    window_tokens: Count = 0
    state_bytes: Count = 0
    """Bytes that one sequence keeps in each `linear` layer, however long it is."""
    draft_state_bytes: Count = 0
    """What each speculated token adds to `state_bytes`: one more column of the convolution."""


class TensorGroup(ApiObject):
    """Tensors of one role, one part and one stored type.

    `block` and `expert` are split under tensor parallelism; `other` (norms, routers) and `tower` (vision, audio) are
    replicated; `draft` is loaded only for speculative decoding. Facts from before `expert` and `tower` were told apart
    count them as `block` and `other`, which sizes them the same on one node.
    """

    role: TensorRole
    part: TensorPart = "weight"
    """What of a quantized matrix it is: engines drop or repack some parts while they load."""
    dtype: Annotated[str, Field(max_length=16)]
    count: Count
    elements: Count
    bytes: Count


class Piece(ApiObject):
    """Tensors of one size that an engine allocates one by one, those that it fuses counted as one."""

    role: TensorRole
    bytes: Count
    count: Count


class ArtifactFacts(ApiObject):
    """An artifact's identity, architecture and grouped tensors."""

    format: Literal["gguf", "safetensors"]
    architecture: Annotated[str, Field(min_length=1, max_length=64)]
    scheme: Annotated[str, Field(min_length=1, max_length=64)]
    """`F16`, `Q4_K_M`, `awq`, `gptq`, `fp8`, `compressed-tensors/w4a16`, `modelopt/nvfp4`, … and `BF16` for none."""
    files: Annotated[tuple[FileFact, ...], Field(min_length=1, max_length=MAX_FILES)]
    weights_digest: Digest = ""
    """SHA-256 of the one file, else of the manifest of all; empty where bytes were not all read."""
    tokenizer_digest: Digest = ""
    chat_template_digest: Digest = ""
    """Of the template's text, so that the two formats of one model compare equal."""
    context_tokens: Count
    """The longest context that the model was trained for; 0 where the artifact does not say."""
    layers: Annotated[int, Field(ge=1)]
    hidden_size: Annotated[int, Field(ge=1)]
    intermediate_size: Count = 0
    """Width of the MLP that one token passes, over all experts it is sent to; 0 where unknown."""
    attention_heads: Count = 0
    experts: Count = 0
    experts_per_token: Count = 0
    expert_intermediate_size: Count = 0
    """Width of one expert's MLP; 0 where there are no experts."""
    vocab_size: Annotated[int, Field(ge=1)]
    kv_cache_dtype: Annotated[str, Field(max_length=16)] = ""
    """What the checkpoint itself asks the KV cache to be, where it does."""
    attention: Annotated[tuple[LayerGroup, ...], Field(max_length=64)] = ()
    tensors: Annotated[tuple[TensorGroup, ...], Field(max_length=128)] = ()
    pieces: Annotated[tuple[Piece, ...], Field(max_length=64)] = ()
    tensors_from: Literal["header", "config"] = "header"
    """Whether tensors were read from files, or worked out from `config.json`, which says less."""
    notes: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=MAX_NOTES)] = ()
    pinned_uri: Annotated[str, Field(max_length=640)] = ""
    """Where exactly these bytes lie, where the address asked for may come to mean others: a commit, a digest."""
    moved: Annotated[str, Field(max_length=256)] = ""
    """A sentence where the address meant other bytes when it was last read."""
    mountable: bool = False
    """An OCI image whose layers a container runtime can mount as they are."""

    @property
    def file_bytes(self) -> int:
        """Return the bytes of all its files: what is fetched and read."""
        return sum(file.size_bytes for file in self.files)

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of all tensors that are loaded without speculative decoding."""
        return sum(group.bytes for group in self.tensors if group.role != "draft")

    @property
    def is_sure(self) -> bool:
        """Return whether the tensors were read and the architecture is of a known family."""
        return self.tensors_from == "header" and is_known(self.architecture)

    @property
    def ties_output_to_embedding(self) -> bool:
        """Return whether one matrix serves as embedding and output."""
        return not any(group.role == "output" for group in self.tensors)


def believed(**fields: Any) -> ArtifactFacts:
    """Return the facts, or refuse what no model has: an empty name, a letter that is none, a count out of bounds."""
    try:
        return ArtifactFacts(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise malformed(f"The artifact's `{where}` cannot be believed: {first['msg'][:120]}.") from None
