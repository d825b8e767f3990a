"""What everything of one QuantizedModel is called, and the labels and annotations it carries."""

import hashlib
import json
from typing import Any

from ..api.base import GROUP

MODEL = f"{GROUP}/model"
REVISION = f"{GROUP}/revision"
ROLE = f"{GROUP}/role"
RETRY = f"{GROUP}/retry"
PAUSE = f"{GROUP}/pause"
ROLLBACK = f"{GROUP}/rollback"
PROMOTE = f"{GROUP}/promote"
VERDICT_AT = f"{GROUP}/verdict-at"
ANSWERED = f"{GROUP}/answered"
REPORT = f"{GROUP}/engine-report"
VERIFIED = f"{GROUP}/verified"
REFUSAL = f"{GROUP}/refusal"
ROLLOUT = f"{GROUP}/rollout"
SINCE = f"{GROUP}/step-since"
STABLE_REPLICAS = f"{GROUP}/stable-replicas"
LENT = f"{GROUP}/lent"
FINALIZER = f"{GROUP}/traffic"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "bitshift"
USABLE_MODEL_NAME = r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?"
"""Services are called after the model, and they allow less than other kinds."""


def labels(model: str, **more: str) -> dict[str, str]:
    """Return the labels of everything that belongs to a model; `role="relay"` and the like come on top."""
    return {MANAGED_BY: MANAGER, MODEL: model} | {f"{GROUP}/{key}": value for key, value in more.items()}


def worker_role(role: str) -> str:
    """Return the role of pods that only compute for pods of a role: no Service selects it, and nobody asks them."""
    return f"{role}-worker"


def digest(value: Any, length: int = 8) -> str:
    """Return a short stable fingerprint of any JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def revision_name(model: str, rung: str, sealed: Any, *, spans_nodes: bool = False) -> str:
    """Return the name of a release: what makes its pods, its Service and ModelRevision share it, so it is a DNS label.

    Where a replica spans nodes, StatefulSets are called after it with a number, and such a name has 52 letters at most.
    """
    of_model, of_rung = (24, 14) if spans_nodes else (30, 20)
    return f"{model[:of_model]}-{rung[:of_rung].rstrip('-')}-{digest(sealed)}"


def facts_name(uri: str, declared_digest: str | None) -> str:
    """Return the ConfigMap that keeps an artifact's facts; models of a namespace share what is the same artifact."""
    return f"bitshift-facts-{digest([uri, declared_digest], 10)}"


def facts_job_name(uri: str, declared_digest: str | None, reading: str) -> str:
    """Return the Job of one reading; a later reading is another Job."""
    return f"{facts_name(uri, declared_digest)}-{digest(reading, 6)}"


def chat_template_name(text_digest: str) -> str:
    """Return the ConfigMap that holds a chat template for good; releases with the same text share it."""
    return f"bitshift-template-{digest(text_digest, 16)}"


def gate_key(gate: str, config: Any) -> str:
    """Return the key of a verdict: the same gate over another suite, margin or retry is another verdict."""
    return f"{gate}-{digest(config, 6)}"


def gate_job_name(revision: str, key: str) -> str:
    """Return the Job that reaches one verdict."""
    return f"{revision[:44]}-{key}"[:63].rstrip("-")


def verdicts_name(model: str) -> str:
    """Return the ConfigMap that keeps every verdict on a model's releases."""
    return f"{model}-verdicts"


def evidence_name(model: str) -> str:
    """Return the ConfigMap of the live statistics."""
    return f"{model}-evidence"


def release_service(model: str) -> str:
    """Return the Service that users hand their own route over to; it leads to the promoted release."""
    return f"{model}-release"


def baseline_name(model: str) -> str:
    """Return the idle replica that candidates are compared with."""
    return f"{model}-baseline"


def relay_name(model: str, arm: str = "") -> str:
    """Return the relay's Deployment, or the Service of one of its arms."""
    return f"{model}-relay-{arm}" if arm else f"{model}-relay"


def overlay_prefix(model: str) -> str:
    """Return what a model's overlay routes' names begin with."""
    return f"{model}-overlay"
