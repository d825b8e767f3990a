"""A store that speaks S3: versitygw over a folder of this machine.

Here: its start, its objects. Not here: which of them a model is (`bitshift_runtime.artifact.s3`).
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config

from e2e.cluster import Cluster
from e2e.cluster.processes import free_port
from e2e.stores.servers import GUESSED, Put, Trust, flip_last_byte, running

KEY, SECRET, REGION = "e2e-reader", "reads-models", "us-east-1"
BUCKET, FILE = "models", "model.gguf"


@dataclass(frozen=True)
class ObjectStore:
    """One bucket with a folder for each place."""

    endpoint: str
    folder: Path
    trust: Trust
    secret: Mapping[str, str] = field(
        default_factory=lambda: {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    )
    wrong: Mapping[str, str] = field(
        default_factory=lambda: {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": GUESSED}
    )

    @classmethod
    @contextmanager
    def started(cls, cluster: Cluster, folder: Path, host: str, trust: Trust) -> Iterator["ObjectStore"]:
        """Answer until the end of the block."""
        port = free_port(host)
        found = cls(f"https://{host}:{port}", folder, trust)
        folder.mkdir(parents=True)
        argv = [cluster.paths.bin / "versitygw", "--port", f"{host}:{port}", "--access", KEY, "--secret", SECRET,
                "--cert", trust.server, "--key", trust.server, "--health", "/health", "posix", folder]  # fmt: skip
        with running(cluster, "versitygw", argv, f"{found.endpoint}/health", trust):
            with closing(found.client()) as client:
                client.create_bucket(Bucket=BUCKET)
            yield found

    def put(self, place: str, file: Path) -> Put:
        """Upload a model in one piece, with its digest as the store keeps it."""
        with file.open("rb") as body, closing(self.client()) as client:
            client.put_object(Bucket=BUCKET, Key=f"{place}/{FILE}", Body=body, ChecksumAlgorithm="SHA256")
        address = f"s3://{BUCKET}/{place}/{FILE}?endpoint={self.endpoint}&region={REGION}"
        return Put(address, f"{address}#")

    def put_in_parts(self, place: str, file: Path) -> Put:
        """Upload a model as tools upload large files: in parts, so that no digest of the whole of it is kept."""
        with closing(self.client()) as client:
            client.upload_file(str(file), BUCKET, f"{place}/{FILE}")
        address = f"s3://{BUCKET}/{place}?endpoint={self.endpoint}&region={REGION}"
        return Put(address, f"{address}#")

    def damage(self, place: str) -> None:
        """Change the last byte of an object's file; what the store knows of it lies elsewhere."""
        flip_last_byte(self.folder / BUCKET / place / FILE)

    def client(self):
        """Return Amazon's own client, for whoever may write."""
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            verify=str(self.trust.authority), config=Config(s3={"addressing_style": "path"}, proxies={}),
        )  # fmt: skip
