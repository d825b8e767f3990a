"""What Jobs found out about artifacts, and what a rung is served with besides its model: a draft, adapters, a template.

Here: ConfigMaps → facts. Not here: whether they are fresh (`rollout.seeing`) and belong together (`agreement`).
"""

from ..api.v1alpha1 import QuantizedModelSpec, Rung, Serving
from ..artifact.adapter import AdapterFacts
from ..artifact.facts import ArtifactFacts
from . import names
from .errors import SpecRefusedError
from .releases import Beside, artifacts_beside, merged
from .snapshot import Manifest, Snapshot


def facts_in(config_map: Manifest | None) -> ArtifactFacts | None:
    """Return the facts that a Job wrote; None while there are none."""
    text = ((config_map or {}).get("data") or {}).get("facts.json")
    return ArtifactFacts.model_validate_json(text) if text else None


def adapter_in(config_map: Manifest | None) -> AdapterFacts | None:
    """Return the facts that a Job wrote of an adapter; None while there are none."""
    text = ((config_map or {}).get("data") or {}).get("adapter.json")
    return AdapterFacts.model_validate_json(text) if text else None


def beside_of(snapshot: Snapshot, spec: QuantizedModelSpec, rung: Rung) -> Beside:
    """Return what is known of all that a rung is served with besides its model; what is not read yet is left out."""
    asked = merged(spec.serving, rung.serving)
    adapters: dict[str, AdapterFacts] = {}
    for each in asked.adapters:
        if found := adapter_in(snapshot.config_maps.get(names.facts_name(each.artifact, None))):
            adapters[each.name] = found
    draft = asked.speculative.draft if asked.speculative else None
    return Beside(
        draft=facts_in(snapshot.config_maps.get(names.facts_name(draft, None))) if draft else None,
        adapters=adapters,
        chat_template=_chat_template(snapshot, rung, asked),
    )


def config_maps_beside(spec: QuantizedModelSpec) -> set[str]:
    """Return the ConfigMaps that hold what rungs are served with besides their models: facts, and chat templates."""
    asked = [merged(spec.serving, rung.serving) for rung in spec.ladder]
    facts = {names.facts_name(uri, None) for each in asked for uri in artifacts_beside(each).values()}
    return facts | {each.chat_template.name for each in asked if each.chat_template}


def _chat_template(snapshot: Snapshot, rung: Rung, asked: Serving) -> str:
    wanted = asked.chat_template
    if wanted is None:
        return ""
    found = snapshot.config_maps.get(wanted.name)
    text = ((found or {}).get("data") or {}).get(wanted.key, "")
    if not text:
        lacks = f"it has no text under '{wanted.key}'" if found else f"namespace '{snapshot.namespace}' has no such one"
        raise SpecRefusedError(
            "ChatTemplateNotFound",
            f"Rung '{rung.name}': `serving.chatTemplate` names ConfigMap '{wanted.name}', but {lacks}: create it.",
        )
    return str(text)
