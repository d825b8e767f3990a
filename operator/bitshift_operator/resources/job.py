"""Jobs in the user's namespace: reading an artifact's facts, and judging a gate."""

from collections.abc import Sequence

from bitshift_core.api.v1alpha1 import SecretRef

from . import OPEN_ACCESS, RESTRICTED_CONTAINER, RESTRICTED_POD, ArtifactAccess, Manifest, Owner, volume

KEPT_SECONDS = 3_600
FACTS_SECONDS = 900


def facts(
    owner: Owner,
    name: str,
    *,
    uri: str,
    claim: str | None,
    digest: str | None,
    config_map: str,
    account: str,
    image: str,
    pull_policy: str,
    sources: ArtifactAccess = OPEN_ACCESS,
) -> Manifest:
    """Return the Job that reads headers and digests; only it may mount the user's claim."""
    arguments = ["facts", "--uri", uri, "--config-map", config_map]
    arguments += ["--mount", "/models"] if claim else []
    arguments += ["--digest", digest] if digest else []
    mounts = [{"name": "models", "mountPath": "/models", "readOnly": True}] if claim else sources.mounts()
    volumes = [volume("models", claim)] if claim else sources.volumes()
    made = _job(
        owner, name, account, arguments, image, pull_policy, FACTS_SECONDS, mounts=mounts, volumes=volumes, role="facts"
    )
    if not claim:
        made["spec"]["template"]["spec"]["containers"][0]["env"] += sources.environment()
    return made


def gate(
    owner: Owner,
    name: str,
    *,
    gate: str,
    config_map: str,
    scores_config_map: str,
    account: str,
    items_config_maps: Sequence[str] = (),
    api_key: SecretRef | None,
    seconds: int,
    image: str,
    pull_policy: str,
) -> Manifest:
    """Return the Job that reaches one verdict."""
    items = list(enumerate(dict.fromkeys(items_config_maps)))
    if gate == "load":
        arguments = ["load", "--config", "/config/gate.json"]
    else:
        arguments = ["evaluate", "--gate", gate, "--config", "/config/gate.json"]
        arguments += ["--scores-config-map", scores_config_map]
    job = _job(
        owner,
        name,
        account,
        arguments,
        image,
        pull_policy,
        seconds,
        mounts=[
            {"name": "config", "mountPath": "/config", "readOnly": True},
            *({"name": f"items-{at}", "mountPath": f"/items/{name}", "readOnly": True} for at, name in items),
        ],
        volumes=[
            {"name": "config", "configMap": {"name": config_map}},
            *({"name": f"items-{at}", "configMap": {"name": name, "optional": True}} for at, name in items),
        ],
        role="gate",
    )
    if api_key:
        key = {"name": api_key.name, "key": api_key.key}
        variable = {"name": "BITSHIFT_API_KEY", "valueFrom": {"secretKeyRef": key}}
        job["spec"]["template"]["spec"]["containers"][0]["env"].append(variable)
    return job


def _job(
    owner: Owner,
    name: str,
    account: str,
    arguments: list[str],
    image: str,
    pull_policy: str,
    seconds: int,
    *,
    mounts: list[Manifest],
    volumes: list[Manifest],
    role: str,
) -> Manifest:
    metadata = owner.metadata(name, role=role)
    container: Manifest = {
        "name": role,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": arguments,
        "env": [{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": dict(RESTRICTED_CONTAINER),
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],
    }
    pod: Manifest = {
        "serviceAccountName": account,
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": dict(RESTRICTED_POD),
        "containers": [container],
        "volumes": [*volumes, {"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 1,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
        },
    }
