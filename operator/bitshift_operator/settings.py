"""What the operator is told by its environment: `BITSHIFT_*`, read once at the start and passed down."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65_535)]
Names = Annotated[tuple[str, ...], NoDecode]
"""A list of names, separated by commas."""


class Settings(BaseSettings):
    """All settings of the operator; what concerns one model is in its spec instead."""

    model_config = SettingsConfigDict(env_prefix="BITSHIFT_", frozen=True)

    namespace: str = "bitshift-system"
    """Where the operator itself runs: its Lease lies there, and the suites and profiles that all may use."""
    pod_name: str = "bitshift-operator"
    watch_namespaces: Names = ()
    """The namespaces whose models are served; all when empty."""
    kubeconfig: str = ""
    context: str = ""
    """Of the kubeconfig; without both, the cluster that the pod runs in."""

    runtime_image: str = "bitshift-runtime:latest"
    """The image of our Jobs and of the relay; engines come from their own."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: Names = ()
    hugging_face_endpoint: str = ""
    """A mirror of the Hugging Face Hub for all `hf://` artifacts; huggingface.co when empty."""
    s3_endpoint: str = ""
    """An S3-compatible store for all `s3://` artifacts that name none themselves; Amazon's when empty."""
    gateway_address: str = ""
    """`http://HOST:PORT` at which routes are probed; where a Gateway's own status does not lead to it from here."""
    cluster_domain: str = "cluster.local"

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    metrics_port: Port = 8080
    health_port: Port = 8081
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    request_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 15
    stale_after_seconds: Annotated[float, Field(ge=60)] = 900
    """A watch that heard nothing for so long, or a key that waited so long for a worker, makes the pod unhealthy."""
    stop_seconds: Annotated[float, Field(gt=0, le=60)] = 3
    """How long running turns may take to end after SIGTERM."""

    lease_name: str = "bitshift-operator"
    lease_seconds: Annotated[float, Field(ge=2)] = 15
    lease_renew_seconds: Annotated[float, Field(ge=1)] = 8
    """For how long a leader that cannot renew its lease tries again before it gives up."""
    lease_retry_seconds: Annotated[float, Field(ge=1)] = 2

    @field_validator("watch_namespaces", "image_pull_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _leader_gives_up_before_another_takes_over(self) -> Self:
        # The last renewal, one pause, the attempts, one last call and one last pause must all lie within the lease.
        longest = self.lease_renew_seconds + 3 * self.lease_retry_seconds
        if longest >= self.lease_seconds:
            raise ValueError(
                f"must have `lease_seconds` above {longest:g} (`lease_renew_seconds` + 3 × `lease_retry_seconds`): "
                "else two replicas lead at once"
            )
        return self
