"""`QuantizedModel` and `ModelRevision`: what to serve, from which ladder, under which evidence, and what came of it.

Here: fields, bounds and the CEL rules between them. Not here: what is checked against a cluster (`rollout.accepted`).
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import (
    ApiObject,
    HeaderName,
    Hostname,
    Name,
    PartsPerMillion,
    Sha256,
    TenantId,
    Text,
    named_list,
    rules,
)

ArtifactUri = Annotated[
    str,
    Field(
        min_length=8,
        max_length=512,
        json_schema_extra=rules(
            (
                "self.matches('^(pvc|https|http|hf|oci|s3)://.+')",
                "must start with pvc://CLAIM/PATH, https://, hf://, oci:// or s3://",
            )
        ),
    ),
]


EngineWord = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
"""A choice in the engine's own words."""


class Toggle(StrEnum):
    """A feature that is on or off whatever the engine's default is."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Speculative(ApiObject):
    """Tokens proposed by something cheap and checked by the model."""

    model_config = ApiObject.model_config | {
        "json_schema_extra": rules(
            (
                "!(self.method in ['draft_model', 'eagle', 'eagle3', 'medusa', 'EAGLE', 'EAGLE3', 'STANDALONE', "
                "'draft-simple']) || has(self.draft)",
                "must name `draft`, the artifact that this `method` proposes tokens with",
            )
        )
    }

    method: EngineWord
    """In the engine's own words: `ngram`, `draft_model`, `eagle3` … for vLLM."""
    tokens: Annotated[int, Field(ge=1, le=64)] = 3
    """Tokens proposed at a time."""
    lookup_tokens: Annotated[int | None, Field(ge=1, le=64)] = None
    """Longest sequence of the prompt that `ngram` looks up."""
    draft: ArtifactUri | None = None


class Adapter(ApiObject):
    """A LoRA adapter that requests may ask for by name."""

    name: Name
    artifact: ArtifactUri


class ConfigMapKey(ApiObject):
    """A key of a ConfigMap in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)] = "chat_template.jinja"


class EnvironmentVariable(ApiObject):
    """A literal variable of the engine's container."""

    model_config = ApiObject.model_config | {
        "json_schema_extra": rules(
            ("!has(self.name) || !self.name.matches('^BITSHIFT_')", "must not name what Bitshift sets (BITSHIFT_…)")
        )
    }

    name: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: Annotated[str, Field(max_length=1024)] = ""


class Serving(ApiObject):
    """What the pods must hold and how they are started; a rung may override any of it."""

    context_tokens: Annotated[int | None, Field(ge=64, le=16_777_216)] = None
    """Tokens of one sequence, prompt and answer; inherited from stable when unset."""
    concurrent_sequences: Annotated[int | None, Field(ge=1, le=4096)] = None
    """Sequences that each replica serves at once at full context."""
    kv_cache_dtype: Annotated[str | None, Field(max_length=16, pattern=r"^[a-z0-9_]+$")] = None
    gpus_per_replica: Annotated[int | None, Field(ge=0, le=64)] = None
    """0 serves on CPU and sizes against the node's memory."""
    replicas: Annotated[int | None, Field(ge=1, le=1000)] = None
    """Replicas when nothing scales what makes the pods; inherited from stable when unset."""
    image: Annotated[str | None, Field(min_length=1, max_length=512)] = None
    """The engine's own image; stable's, else the profile's, when unset."""
    served_model_name: Annotated[str | None, Field(min_length=1, max_length=256)] = None
    """What users ask for; stable's name, else this object's, when unset."""
    cpu_millis: Annotated[int | None, Field(ge=10, le=1_000_000)] = None
    """CPU request of each replica in thousandths of a core; stable's when unset."""
    extra_args: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=64)] = ()
    """Engine arguments that Bitshift does not set; one that contradicts what Bitshift sets is refused."""
    env: Annotated[tuple[EnvironmentVariable, ...], named_list(max_length=32)] = ()
    """Variables of the engine's container, before the profile's; they lie open in the object, and stable's are not
    inherited."""
    api_key_secret: "SecretRef | None" = None
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]] | None, Field(max_length=16)] = None
    quantization: EngineWord | None = None
    """The engine's method, where it is not to follow from the artifact: another kernel for the same weights, or
    quantization of full-precision weights while they are loaded."""
    dtype: Annotated[str | None, Field(max_length=16, pattern="^(auto|half|float16|bfloat16|float|float32)$")] = None
    """Of activations and of weights that are not quantized."""
    batched_tokens: Annotated[int | None, Field(ge=32, le=1_048_576)] = None
    """Tokens of all sequences that one step of the engine computes at most."""
    tensor_parallel: Annotated[int | None, Field(ge=1, le=64)] = None
    """Parts that each layer is split into; `gpusPerReplica` over `pipelineParallel` when unset."""
    pipeline_parallel: Annotated[int | None, Field(ge=1, le=64)] = None
    """Groups of layers, one after the other, the same number on each node; `nodesPerReplica` when unset."""
    nodes_per_replica: Annotated[int | None, Field(ge=1, le=16)] = None
    """Pods that one replica is, each with its share of `gpusPerReplica`; more than 1 needs an engine that can span
    nodes and a cluster that serves LeaderWorkerSets. Stable's where its GPUs are inherited, else 1, when unset."""
    prefix_caching: Toggle | None = None
    chunked_prefill: Toggle | None = None
    attention_backend: EngineWord | None = None
    linear_backend: EngineWord | None = None
    """Kernels of (quantized) linear layers; the engine chooses when unset."""
    moe_backend: EngineWord | None = None
    speculative: Speculative | None = None
    adapters: Annotated[tuple[Adapter, ...], named_list(max_length=16)] = ()
    tool_call_parser: EngineWord | None = None
    reasoning_parser: EngineWord | None = None
    chat_template: ConfigMapKey | None = None
    """Replaces the artifact's own; its text is sealed into the release."""
    guided_decoding_backend: EngineWord | None = None


class SecretRef(ApiObject):
    """A key of a Secret in the same namespace; its content is never read into status, logs or arguments."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)] = "api-key"


class CaBundle(ApiObject):
    """A key of a ConfigMap in the same namespace that holds certificates in PEM."""

    config_map: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)] = "ca.crt"
    nodes_trust: bool = False
    """Container runtimes of all nodes trust these authorities as well, so an image is mounted rather than fetched."""


class Rung(ApiObject):
    """One step of the ladder: an artifact and what is different about serving it."""

    name: Name
    artifact: ArtifactUri
    digest: Sha256 | None = None
    """SHA-256 of the artifact's file, or of its manifest of files; a mismatch refuses the rung."""
    serving: Serving = Serving()


class Sources(ApiObject):
    """How artifacts are reached: whose credentials, and where they are kept once they were fetched."""

    secret: Annotated[str | None, Field(min_length=1, max_length=253)] = None
    """A Secret whose keys become variables of the containers that read or fetch artifacts, and of no other: `HF_TOKEN`;
    `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`; `REGISTRY_USERNAME`,
    `REGISTRY_PASSWORD` or `.dockerconfigjson`; `HTTP_TOKEN`."""
    cache_claim: Annotated[str | None, Field(min_length=1, max_length=253)] = None
    """A claim, writable from every node, on which fetched artifacts stay; each pod fetches its own when unset."""
    ca_bundle: CaBundle | None = None
    """Authorities that are trusted besides the public ones where artifacts are read or fetched over TLS."""


class Stable(ApiObject):
    """The Service whose users are moved; its pods are adopted as they are and never changed."""

    service: Name
    port: Annotated[int | None, Field(ge=1, le=65_535)] = None
    """The Service's port; its only one, or the one named `http`, when unset."""


class Parent(ApiObject):
    """What the answers are held against; stable itself when unset."""

    artifact: ArtifactUri


class SuiteRef(ApiObject):
    """One EvalSuite to run in the quality gate, and the margin it is judged by here."""

    name: Name
    margin_points: Annotated[int | None, Field(ge=1, le=100)] = None
    """Largest drop in percentage points that is tolerated; the suite's own when unset."""


class QualityGate(ApiObject):
    """Paired answers of candidate and parent on the same items."""

    suites: Annotated[tuple[SuiteRef, ...], named_list(max_length=16)] = ()
    """The built-in starter suites when empty."""
    error_rate_ppm: Annotated[int, Field(ge=1_000, le=200_000)] = 50_000
    """Chance of a wrong verdict that is accepted, per suite."""
    max_seconds: Annotated[int, Field(ge=10, le=86_400)] = 1_800


class LoadGate(ApiObject):
    """The same open-loop arrivals to candidate and baseline."""

    model_config = ApiObject.model_config | {
        "json_schema_extra": rules(
            (
                "self.requestsPerMinute * self.seconds >= 3000",
                "must send 50 requests or more, for no 95th percentile can be judged from fewer: raise `seconds` or "
                "`requestsPerMinute` until their product is 3000",
            ),
            (
                "!(has(self.ttftMillis) || has(self.itlMillis)) || self.requestsPerMinute * self.seconds >= 6600",
                "must send 110 requests or more where `ttftMillis` or `itlMillis` is a target, for fewer do not bound "
                "a 95th percentile from above: raise `seconds` or `requestsPerMinute` until their product is 6600",
            ),
        )
    }

    requests_per_minute: Annotated[int, Field(ge=1, le=600_000)] = 60
    seconds: Annotated[int, Field(ge=10, le=7_200)] = 180
    reply_tokens: Annotated[int, Field(ge=1, le=8_192)] = 64
    prompt_tokens: Annotated[int | None, Field(ge=82, le=1_000_000)] = None
    """The longest prompt that is sent; a few hundred tokens, and never more than the context holds, when unset."""
    slower_percent: Annotated[int, Field(ge=1, le=1_000)] = 10
    """How much slower TTFT and ITL may be at the 95th percentile than the baseline's."""
    ttft_millis: Annotated[int | None, Field(ge=1, le=600_000)] = None
    """A target for TTFT at the 95th percentile; given, it replaces the comparison with the baseline."""
    itl_millis: Annotated[int | None, Field(ge=1, le=60_000)] = None


class OnOtherKernel(StrEnum):
    """What becomes of a release whose engine runs it with another kernel than the plan promised."""

    WARN = "Warn"
    REFUSE = "Refuse"


class CompatibilityGate(ApiObject):
    """What the engine must keep of what was promised before it started."""

    other_kernel: OnOtherKernel = OnOtherKernel.WARN
    """Another kernel than promised is told in the rung's `engine`, or refuses the release."""


class Gates(ApiObject):
    """What must be passed before a user sees the candidate; an inconclusive gate passes nothing."""

    compatibility: CompatibilityGate = CompatibilityGate()
    quality: QualityGate = QualityGate()
    load: LoadGate = LoadGate()


class Tenants(ApiObject):
    """Who moves, in which order, by which header."""

    header: HeaderName = "x-tenant-id"
    first: Annotated[
        tuple[TenantId, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    last: Annotated[
        tuple[TenantId, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    exclude: Annotated[
        tuple[TenantId, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """Tenants that stay on stable until the whole rollout is promoted and handed over."""


class Step(ApiObject):
    """How many tenants are enrolled, and which share of an enrolled tenant's requests the candidate answers."""

    name: Name
    tenants_percent: Annotated[int, Field(ge=1, le=100)]
    weight_percent: Annotated[int, Field(ge=1, le=99)]
    """Below 100 on purpose: the hold-back share makes each tenant its own control."""


class LiveEvidence(ApiObject):
    """The sequential tests on live traffic: error rates and margins."""

    error_rate_ppm: Annotated[int, Field(ge=100, le=200_000)] = 10_000
    """Chance that a candidate as good as stable is rolled back, over the whole rollout and all metrics."""
    margin_ppm: PartsPerMillion = 3_000
    """How much worse a rate may be before it counts as worse (soft tier)."""
    promote_margin_ppm: Annotated[int, Field(ge=1_000, le=500_000)] = 20_000
    """A step is taken when rates worse by this much are excluded."""
    promote_latency_points: Annotated[int, Field(ge=5, le=50)] = 25
    """And when it is excluded that so many more of 100 requests are slower than one of stable's latency quantiles."""
    latency_margin_percent: Annotated[int, Field(ge=1, le=1_000)] = 5
    """How much slower TTFT and ITL may be before they count as worse."""
    step_deadline_seconds: Annotated[int, Field(ge=10, le=604_800)] = 3_600
    """Too little evidence by then is Inconclusive: the step is held, nothing is promoted."""


class TrafficMode(StrEnum):
    """Where users' requests go: through a Gateway, or nowhere (judge and report only)."""

    GATEWAY = "Gateway"
    NONE = "None"


DEFAULT_STEPS = (
    Step(name="first", tenants_percent=10, weight_percent=20),
    Step(name="half", tenants_percent=50, weight_percent=50),
    Step(name="all", tenants_percent=100, weight_percent=50),
)


class Traffic(ApiObject):
    """How users move to the candidate."""

    model_config = ApiObject.model_config | {
        "json_schema_extra": rules(
            (
                "self.mode == 'None' || has(self.route) != has(self.gateway)",
                "must name either `route` (an HTTPRoute that leads to stable) or `gateway` (to have one made), "
                "or set `mode` to 'None'",
            ),
            ("!has(self.gateway) || has(self.hostname)", "must give `hostname` with `gateway`"),
        )
    }

    mode: TrafficMode = TrafficMode.GATEWAY
    route: Annotated[str | None, Field(min_length=1, max_length=253)] = None
    """The user's HTTPRoute that leads to stable; it is read, never written."""
    gateway: Annotated[str | None, Field(min_length=1, max_length=253)] = None
    """A Gateway (`name` or `namespace/name`) for the route that is made when nothing runs yet."""
    hostname: Hostname | None = None
    tenants: Tenants = Tenants()
    steps: Annotated[tuple[Step, ...], named_list(min_length=1, max_length=16)] = DEFAULT_STEPS
    evidence: LiveEvidence = LiveEvidence()
    hold_seconds: Annotated[int, Field(ge=0, le=604_800)] = 1_800
    """All traffic on the candidate, stable still warm, for so long before it is promoted."""
    drain_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Longest stream that is waited for before a pod without traffic is ended."""


class Scenario(StrEnum):
    """What a rung is explained by: what it gains there against the parent."""

    LATENCY = "Latency"
    THROUGHPUT = "Throughput"
    CONTEXT = "Context"
    MEMORY = "Memory"


class Price(ApiObject):
    """What a GPU costs the user, so that rungs can be compared in money."""

    gpu_hour_cents: Annotated[int, Field(ge=1, le=10_000_000)]
    """Of one GPU for one hour, in hundredths of the currency."""
    currency: Annotated[str, Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$")] = "USD"


class AfterPromotion(StrEnum):
    """What becomes of the old Deployment once the user's route no longer leads to it."""

    KEEP = "Keep"
    SCALE_TO_ZERO = "ScaleToZero"


class WhenFull(StrEnum):
    """What is done where stable holds the GPUs that a release needs.

    `Wait`: its pods wait, and status says how many of stable's replicas hold its room. `Serial`: replicas of stable's
    Deployment go one at a time, never the last one, and come back if the release does not stay. A replica that goes
    ends its requests as its own `preStop` and grace period say, as whenever it is scaled down.
    """

    WAIT = "Wait"
    SERIAL = "Serial"


class QuantizedModelSpec(ApiObject):
    """What a user asks for."""

    model_config = ApiObject.model_config | {
        "json_schema_extra": rules(
            (
                "has(self.stable) || has(self.parent)",
                "must name `stable` (what runs now) or `parent` (what answers are held against)",
            ),
            (
                "has(self.stable) || has(self.traffic.gateway)"
                " || (has(self.traffic.mode) && self.traffic.mode == 'None')",
                "must give `traffic.gateway` and `traffic.hostname` when nothing runs yet (no `stable`)",
            ),
            (
                "!has(self.stable) || !has(self.traffic.gateway)",
                "must give `traffic.route`, not `traffic.gateway`, when `stable` runs already",
            ),
            (
                "has(self.stable) || !has(self.whenFull) || self.whenFull == 'Wait'",
                "must leave `whenFull` at 'Wait' when nothing runs yet (no `stable`): there are no replicas to swap",
            ),
        )
    }

    suspend: bool = False
    """True stops every forward move; safety still works and traffic stays where it is."""
    runtime: Annotated[str | None, Field(min_length=1, max_length=63)] = None
    """A RuntimeProfile's name; recognised from stable's image when unset."""
    stable: Stable | None = None
    parent: Parent | None = None
    sources: Sources = Sources()
    serving: Serving = Serving()
    ladder: Annotated[tuple[Rung, ...], named_list(min_length=1, max_length=16)]
    """Rungs in order of preference; the first that passes everything is rolled out."""
    gates: Gates = Gates()
    traffic: Traffic
    after_promotion: AfterPromotion = AfterPromotion.KEEP
    when_full: WhenFull = WhenFull.WAIT
    scenario: Scenario | None = None
    """What each rung's status explains: what the rung gains there, what it costs. The ladder's order decides."""
    price: Price | None = None


class Condition(ApiObject):
    """A standard Kubernetes condition."""

    type: Annotated[str, Field(max_length=64)]
    status: Annotated[str, Field(max_length=8, pattern="^(True|False|Unknown)$")]
    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=2048)] = ""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    last_transition_time: Annotated[str, Field(max_length=32)] = ""


class SizeItem(ApiObject):
    """One line of a sizing sum."""

    name: Annotated[str, Field(max_length=64)]
    bytes: Annotated[int, Field(ge=0)]
    detail: Text = ""


class RungStatus(ApiObject):
    """What is known of one rung: its size, its release, its verdicts, and why it was refused."""

    name: Name
    revision: Annotated[str, Field(max_length=63)] = ""
    artifact: Annotated[str, Field(max_length=640)] = ""
    """Where exactly its bytes lie: what the spec names, at a commit, a digest or a version."""
    state: Annotated[str, Field(max_length=32)] = "Unknown"
    """One of Unknown, Fits, DoesNotFit, Starting, Gating, Passed, Refused, Live, Current."""
    reason: Annotated[str, Field(max_length=64)] = ""
    message: Annotated[str, Field(max_length=2048)] = ""
    needed_bytes: Annotated[int | None, Field(ge=0)] = None
    """Bytes per GPU, or of host memory for a CPU rung, at the context and concurrency asked for."""
    sizing: Annotated[tuple[SizeItem, ...], Field(max_length=16)] = ()
    offered_bytes: Annotated[int | None, Field(ge=0)] = None
    """What the GPU or the host that it was held against offers in all."""
    headline: Annotated[str, Field(max_length=512)] = ""
    """In one line how many sequences fit, or what is missing and what would help."""
    why: Annotated[str, Field(max_length=2048)] = ""
    """What the rung saves against the parent for `scenario`, and what it costs in answers and money."""
    engine: Annotated[str, Field(max_length=2048)] = ""
    """What the engine reported after its start, and where that is not what was planned."""
    gates: Annotated[tuple["GateStatus", ...], named_list(max_length=16)] = ()


class GateStatus(ApiObject):
    """One gate's verdict in one sentence with its numbers."""

    name: Annotated[str, Field(max_length=63)]
    verdict: Annotated[str, Field(max_length=16)]
    """Running, Passed, Failed or Inconclusive."""
    message: Annotated[str, Field(max_length=2048)] = ""


class Refused(ApiObject):
    """A release that evidence refused; it is not tried again until it changes or a person says `retry`."""

    revision: Annotated[str, Field(max_length=63)]
    rung: Name
    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=2048)]
    live: bool = False
    """True when users had seen it: then the whole ladder stops."""
    generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the spec that was live; a live refusal ends with the next one."""
    retry: Annotated[str, Field(max_length=128)] = ""
    """The `retry` that was in force; another one ends the refusal."""


class TenantStatus(ApiObject):
    """One of the ten tenants for whom the candidate looks worst."""

    name: Annotated[str, Field(max_length=128)]
    requests: Annotated[int, Field(ge=0)] = 0
    message: Text = ""


class TrafficStatus(ApiObject):
    """Where users' requests go now."""

    step: Annotated[str, Field(max_length=63)] = ""
    enrolled: Annotated[int, Field(ge=0)] = 0
    known: Annotated[int, Field(ge=0)] = 0
    candidate_requests: Annotated[int, Field(ge=0)] = 0
    stable_requests: Annotated[int, Field(ge=0)] = 0
    worst: Annotated[tuple[TenantStatus, ...], named_list(max_length=10)] = ()
    message: Annotated[str, Field(max_length=2048)] = ""


class QuantizedModelStatus(ApiObject):
    """What came of it. `conditions` is the contract; `phase` is for people and never read back."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    phase: Annotated[str, Field(max_length=32)] = ""
    reason: Annotated[str, Field(max_length=64)] = ""
    message: Annotated[str, Field(max_length=2048)] = ""
    rung: Annotated[str, Field(max_length=63)] = ""
    """The rung that is being tried or serves."""
    canary: Annotated[str, Field(max_length=64)] = ""
    gates: Annotated[str, Field(max_length=64)] = ""
    current_revision: Annotated[str, Field(max_length=63)] = ""
    """The promoted ModelRevision; empty while stable is the user's own Service."""
    previous_revision: Annotated[str, Field(max_length=63)] = ""
    refused: Annotated[tuple[Refused, ...], Field(max_length=32)] = ()
    rungs: Annotated[tuple[RungStatus, ...], named_list(max_length=16)] = ()
    traffic: TrafficStatus = TrafficStatus()
    lent: Annotated[str, Field(max_length=512)] = ""
    """Which replicas stable gave up for a release (`whenFull: Serial`), and how long they would take to come back."""
    hold_until: Annotated[str, Field(max_length=32)] = ""
    handover: Annotated[str, Field(max_length=2048)] = ""
    """The lines to change in Git so that the user's own route names the new Service."""


class ModelRevisionSpec(ApiObject):
    """The sealed release unit; nothing of it can change. Replicas and tolerations stay outside."""

    model_config = ApiObject.model_config | {
        "json_schema_extra": rules(("self == oldSelf", "must not change: a ModelRevision is sealed; make a new one"))
    }

    model: Annotated[str, Field(max_length=253)]
    rung: Name
    runtime: Annotated[str, Field(max_length=63)]
    artifact: Annotated[str, Field(min_length=8, max_length=640)]
    """Where exactly the bytes lie: a branch or a tag of the spec is a commit or a digest here."""
    weights_digest: Annotated[str, Field(max_length=128)]
    tokenizer_digest: Annotated[str, Field(max_length=128)]
    chat_template_digest: Annotated[str, Field(max_length=128)]
    scheme: Annotated[str, Field(max_length=64)]
    beside: Annotated[tuple[Annotated[str, Field(max_length=640)], ...], Field(max_length=32)] = ()
    """The draft's and the adapters' artifacts."""
    image: Annotated[str, Field(max_length=512)]
    args: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=128)]
    worker_args: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=128)] = ()
    """Those of the pods that only compute, where a replica spans nodes."""
    env: Annotated[tuple[EnvironmentVariable, ...], named_list(max_length=32)] = ()
    """The spec's own variables; the profile's are not part of what is sealed."""
    kv_cache_dtype: Annotated[str, Field(max_length=16)] = "auto"
    context_tokens: Annotated[int, Field(ge=1)]
    concurrent_sequences: Annotated[int, Field(ge=1)]
    gpus_per_replica: Annotated[int, Field(ge=0, le=64)] = 0
    nodes_per_replica: Annotated[int | None, Field(ge=2, le=16)] = None
    """Unset where a replica is one pod."""
    needed_bytes: Annotated[int, Field(ge=0)] = 0
