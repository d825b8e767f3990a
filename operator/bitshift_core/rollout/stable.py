"""What runs now, read from its own pods: image, arguments, port, key, artifact. It is adopted and never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..api.catalogue import ArgumentSource, RuntimeProfileSpec
from ..api.v1alpha1 import QuantizedModelSpec, SecretRef
from . import engine
from .errors import SpecRefusedError

Manifest = Mapping[str, Any]
KEY_VARIABLES = ("BITSHIFT_API_KEY", "LLAMA_API_KEY", "VLLM_API_KEY", "API_KEY")


@dataclass(frozen=True)
class StableFacts:
    """A Service that serves users now, and the user's own pods: those stay the measure, whatever is promoted.

    Were it the promoted pods that rungs inherit from and are held against, each promotion would make other releases of
    all rungs, and void what was found out about them.
    """

    service: str
    port: int
    ready_replicas: int
    replicas: int
    leaving: int = 0
    """Pods that are on their way out."""
    owner: tuple[str, str] = ("", "")
    """Kind and name of what owns the pods: ('Deployment', 'chat')."""
    autoscaled: bool = False
    parent: tuple[str, int] = ("", 0)
    """Service and port of the user's own pods while any is ready; what follows is theirs too."""
    pod_spec: Mapping[str, Any] = field(default_factory=dict)
    """As their owner's template has it; an idle baseline is started from it."""
    worker_specs: tuple[Mapping[str, Any], ...] = ()
    """Of the replica's other pods, where it spans nodes."""
    pod_port: int = 0
    image: str = ""
    arguments: Mapping[ArgumentSource, str] = field(default_factory=dict)
    api_key_secret: SecretRef | None = None
    cpu_millis: int | None = None
    memory_bytes: int | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    """Of a whole replica."""
    nodes: int = 1
    tolerations: tuple[Mapping[str, str], ...] = ()

    def inherited(self, source: ArgumentSource) -> str | None:
        """Return what the pods were started with, by what the flag means."""
        return self.arguments.get(source)

    @property
    def model_name(self) -> str | None:
        """Return what users ask for: an engine that was given no name answers to the model as it was given."""
        return self.inherited(ArgumentSource.SERVED_MODEL_NAME) or self.inherited(ArgumentSource.MODEL_PATH)


def baseline_model(spec: QuantizedModelSpec, stable: StableFacts | None, ours: str) -> str:
    """Return what the idle replica is asked for: a copy of stable answers to its name, the parent's own to ours."""
    return (stable.model_name if stable and not spec.parent else None) or ours


def service_port(service: Manifest, wanted: int | None) -> int:
    """Return the Service's port that users reach, as the spec says or as it is the only one."""
    name = service["metadata"]["name"]
    ports = service.get("spec", {}).get("ports") or []
    numbers = [port["port"] for port in ports]
    if wanted is not None:
        if wanted not in numbers:
            raise SpecRefusedError(
                "StablePortNotFound",
                f"`stable.port` is {wanted}, but Service '{name}' has {_listed(numbers)}: name one of them.",
            )
        return wanted
    named = [port["port"] for port in ports if port.get("name") == "http"]
    found = named or numbers
    if len(found) != 1:
        raise SpecRefusedError(
            "StablePortAmbiguous", f"Service '{name}' has {_listed(numbers)}: say which in `stable.port`."
        )
    return int(found[0])


def target_port(service: Manifest, port: int, container: Manifest) -> int:
    """Return the container port behind a Service port; names are looked up in the container."""
    entry = next(each for each in service["spec"]["ports"] if each["port"] == port)
    target = entry.get("targetPort", port)
    if isinstance(target, int):
        return target
    ports = {each.get("name"): each["containerPort"] for each in container.get("ports") or []}
    return int(ports.get(target, port))


def read_container(profile: RuntimeProfileSpec, container: Manifest) -> dict[ArgumentSource, str]:
    """Return what an engine's container was told, from its command and arguments."""
    return engine.read_args(profile, [*(container.get("command") or []), *(container.get("args") or [])])


def artifact_of(pod_spec: Manifest, container: Manifest, model_path: str | None) -> str:
    """Return pvc://CLAIM/PATH of the file a container serves; '' where it is not on a claim."""
    if not model_path or not model_path.startswith("/"):
        return ""
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod_spec.get("volumes") or []
        if "persistentVolumeClaim" in volume
    }
    mounts: Sequence[Manifest] = container.get("volumeMounts") or []
    for mount in sorted(mounts, key=lambda each: -len(each["mountPath"])):
        root = mount["mountPath"].rstrip("/")
        if mount["name"] in claims and model_path.startswith(root + "/"):
            inside = "/".join(
                part for part in (mount.get("subPath", "").strip("/"), model_path[len(root) + 1 :]) if part
            )
            return f"pvc://{claims[mount['name']]}/{inside}"
    return ""


def api_key_of(container: Manifest) -> SecretRef | None:
    """Return the Secret key that a container takes its API key from."""
    for variable in container.get("env") or []:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference and variable["name"] in KEY_VARIABLES:
            return SecretRef(name=reference["name"], key=reference["key"])
    return None


def _listed(ports: Sequence[int]) -> str:
    return f"the ports {', '.join(map(str, ports))}" if ports else "no ports"
