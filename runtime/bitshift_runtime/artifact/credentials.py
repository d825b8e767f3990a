"""Who we are where artifacts lie: read from the environment, which a Secret fills; never printed, never an argument."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bitshift_core.artifact.errors import ArtifactError

HUB = "https://huggingface.co"
DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
WAY_OUT = "Name a Secret in `spec.sources.secret`"


@dataclass(frozen=True)
class AwsKey:
    """An access key of an S3-compatible store."""

    identifier: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Credentials:
    """Everything that the environment says; what it does not is read as anybody."""

    hub_endpoint: str = HUB
    hub_token: str = field(default="", repr=False)
    s3_endpoint: str = ""
    s3_region: str = ""
    aws_key: AwsKey | None = None
    registry_login: tuple[str, str] | None = field(default=None, repr=False)
    registry_config: str = field(default="", repr=False)
    http_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Credentials":
        """Return what the environment says, in the words that each store's own tools use."""
        identifier, secret = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
        user, password = environment.get("REGISTRY_USERNAME", ""), environment.get("REGISTRY_PASSWORD", "")
        return cls(
            hub_endpoint=environment.get("HF_ENDPOINT", "").rstrip("/") or HUB,
            hub_token=environment.get("HF_TOKEN", "").strip(),
            s3_endpoint=environment.get("AWS_ENDPOINT_URL", "").rstrip("/"),
            s3_region=environment.get("AWS_REGION", ""),
            aws_key=AwsKey(identifier, secret, environment.get("AWS_SESSION_TOKEN", "")) if secret else None,
            registry_login=(user, password) if password else None,
            registry_config=environment.get("REGISTRY_CONFIG_JSON", ""),
            http_token=environment.get("HTTP_TOKEN", "").strip(),
        )

    def login_of(self, registry: str) -> tuple[str, str] | None:
        """Return user and password for a registry, from the variables or from a docker configuration."""
        if self.registry_login:
            return self.registry_login
        try:
            auths = json.loads(self.registry_config or "{}").get("auths") or {}
            for name, entry in auths.items():
                host = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
                if host == registry or (host in DOCKER_HUB and registry in DOCKER_HUB):
                    return _login(entry)
        except (ValueError, AttributeError, TypeError, binascii.Error):
            raise ArtifactError(
                "CredentialsUnreadable",
                "The key `.dockerconfigjson` of `spec.sources.secret` is no docker configuration.",
            ) from None
        return None


def _login(entry: Mapping[str, str]) -> tuple[str, str]:
    if "auth" in entry:
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        return user, password
    return entry.get("username", ""), entry.get("password", "")
