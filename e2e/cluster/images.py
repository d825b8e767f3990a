"""Container images without a registry: root file systems from Debian, static binaries, and the project's own.

Each archive is named after a hash of what it is made from, so that what did not change is neither built nor imported
again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import builder, node, preflight
from e2e.cluster.commands import ClusterError, retried, run, step
from e2e.cluster.settings import COREDNS_VERSION, KUBERNETES_VERSION, PROMETHEUS_VERSION, TRAEFIK_VERSION, Paths

REPOSITORY = Path(__file__).resolve().parents[2]
BASE_PYTHON = "bitshift.local/base-python:1"
LLAMA_CPP = "bitshift.local/llama-cpp:1"
NOBODY = "65532:65532"
EXPIRED_IS_FINE = ('--aptopt=Acquire::Check-Valid-Until "false"',)  # sid's release file is valid for a week only
LEFT_OUT = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "man", "info", "locale")]


@dataclass(frozen=True)
class Binary:
    """An image that is one static program."""

    image: str
    program: str
    version: str
    argv: tuple[str, ...]

    def dockerfile(self) -> str:
        """Return how the image is put together."""
        name = Path(self.program).name
        lines = ["FROM scratch", f"COPY {name} /{name}", "ENV PATH=/", f"ENTRYPOINT {json.dumps(list(self.argv))}"]
        return "\n".join(lines) + "\n"

    def inputs(self) -> str:
        """Return all that decides what comes out."""
        return f"{self.version}\n{self.dockerfile()}"

    def assemble(self, paths: Paths, context: Path) -> None:
        """Lay the program beside the Dockerfile."""
        source = Path(self.program) if self.program.startswith("/") else paths.bin / self.program
        shutil.copyfile(source, context / source.name)
        (context / source.name).chmod(0o755)


@dataclass(frozen=True)
class Debian:
    """An image that is a Debian root file system with a few packages."""

    image: str
    suite: str
    packages: tuple[str, ...]
    settings: str = ""
    recipe: int = 1  # raised when what mmdebstrap is told changes

    def dockerfile(self) -> str:
        """Return how the image is put together."""
        return f"FROM scratch\nADD rootfs.tar /\nENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8\n{self.settings}"

    def inputs(self) -> str:
        """Return all that decides what comes out, but for the day on which Debian was asked."""
        return f"{self.suite} {' '.join(self.packages)} {self.recipe}\n{self.dockerfile()}"

    def assemble(self, paths: Paths, context: Path) -> None:
        """Make the root file system beside the Dockerfile."""
        log, expired = paths.log / "images.log", EXPIRED_IS_FINE if self.suite == "sid" else ()
        command = ("mmdebstrap", "--variant=essential", *expired, *LEFT_OUT, f"--include={','.join(self.packages)}")
        retried(3, lambda: run(*command, self.suite, context / "rootfs.tar", log=log))


BASE_IMAGES: tuple[Binary | Debian, ...] = (
    # A pause container must only wait, and busybox can.
    Binary("bitshift.local/pause:1", "/bin/busybox", KUBERNETES_VERSION, ("/busybox", "sleep", "2147483647")),
    Binary("bitshift.local/coredns:1", "coredns", COREDNS_VERSION, ("/coredns",)),
    Binary("bitshift.local/traefik:1", "traefik", TRAEFIK_VERSION, ("/traefik",)),
    Binary("bitshift.local/prometheus:1", "prometheus", PROMETHEUS_VERSION, ("/prometheus",)),
    Debian(BASE_PYTHON, "bookworm", ("ca-certificates", "python3", "python3-venv")),
    Debian(LLAMA_CPP, "sid", ("ca-certificates", "llama.cpp-tools"),
           f'USER {NOBODY}\nENTRYPOINT ["llama-server"]\n'),
)  # fmt: skip


BASE_ENGINE = Debian("bitshift.local/base-engine:1", "bookworm",
                     ("ca-certificates", "libnuma1", "libstdc++6", "python3", "python3-venv"))  # fmt: skip
"""What an engine written in Python and C++ stands on: made for the tests that need it, and not by `up`."""


@dataclass(frozen=True)
class Project:
    """An image of the project's own, from the Dockerfile that users build too."""

    image: str
    dockerfile: str
    sources: tuple[str, ...] = ("pyproject.toml", "operator", "runtime")
    base: str = BASE_PYTHON
    build_gib: int = 1  # layers, archive and what containerd unpacks

    def inputs(self, base: str) -> str:
        """Return a hash of every file that reaches the image."""
        digest = hashlib.sha256(base.encode())
        for file in files_of(REPOSITORY / source for source in self.sources):
            digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
        return digest.hexdigest()

    def is_written(self) -> bool:
        """Return whether there is a package to put into it."""
        return all((REPOSITORY / source).exists() for source in (*self.sources, self.dockerfile))


PROJECT_IMAGES = (  # the operator's, the runtime's, then what tests need
    Project("bitshift.local/bitshift-operator:dev", "operator/Dockerfile"),
    Project("bitshift.local/bitshift-runtime:dev", "runtime/Dockerfile"),
    Project("bitshift.local/faulty-engine:1", "e2e/faults/Dockerfile", ("e2e/faults",)),
)


VLLM = Project(
    "bitshift.local/vllm-cpu:0.32.0", "e2e/vllm/image/Dockerfile", ("e2e/vllm/image",), BASE_ENGINE.image, build_gib=22
)
"""Six gigabytes: made for the tests that need it, and not by `up`."""


def files_of(sources: Iterable[Path]) -> list[Path]:
    """Return the files that a build copies, in a fixed order."""
    found: list[Path] = []
    for source in sources:
        below = [source] if source.is_file() else source.rglob("*")
        found += [file for file in below if file.is_file() and "__pycache__" not in file.parts]
    return sorted(found)


def archive(paths: Paths, image: str, inputs: str) -> Path:
    """Return where the image lies that is made from these inputs."""
    name = image.rpartition("/")[2].replace(":", "-")
    return paths.images / f"{name}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}.tar"


def build_base_images(paths: Paths) -> list[Path]:
    """Build what is missing of the images that are not ours, and return all their archives."""
    return [built(paths, image.image) for image in BASE_IMAGES]


def built(paths: Paths, name: str) -> Path:
    """Return the archive of one of these images, which is made now if it is not there."""
    image = next(each for each in (*BASE_IMAGES, BASE_ENGINE) if each.image == name)
    target = archive(paths, name, image.inputs())
    if not target.exists():
        with step(f"build image {name}"), tempfile.TemporaryDirectory(dir=paths.cache) as folder:
            context = Path(folder)
            (context / "Dockerfile").write_text(image.dockerfile())
            image.assemble(paths, context)
            builder.build(paths, name, context, context / "Dockerfile", target)
        forget_older(paths, name, target)
    return target


def build_project_images(paths: Paths) -> list[Path]:
    """Build the operator's and the runtime's images from the working tree, where it changed since the last time."""
    return [build_project_image(paths, image) for image in PROJECT_IMAGES]


def build_project_image(paths: Paths, image: Project) -> Path:
    """Build an image of the project's own where its sources changed since the last time, and return its archive."""
    base = built(paths, image.base)
    if not image.is_written():
        raise ClusterError(f"{image.image} must have {', '.join(image.sources)} and {image.dockerfile}.")
    target = archive(paths, image.image, image.inputs(base.name))
    if not target.exists():
        preflight.check_room(paths, image.build_gib, image.image)
        with step(f"build image {image.image}"):
            builder.ensure_known(paths, image.base, base)
            builder.build(paths, image.image, REPOSITORY, REPOSITORY / image.dockerfile, target, base=image.base)
        forget_older(paths, image.image, target)
    return target


def forget_older(paths: Paths, image: str, newest: Path) -> None:
    """Delete archives of what the image was made from before, and layers of it: a developer makes dozens a day."""
    name = image.rpartition("/")[2].replace(":", "-")
    older = [each for each in paths.images.glob(f"{name}-*.tar") if each != newest]
    for each in older:
        each.unlink()
    if older:
        builder.forget_unused(paths)


def imported(paths: Paths) -> dict[str, str]:
    """Return by image which archive the node holds; what containerd lost since is told by its own list."""
    book = paths.state / "images.json"
    known: dict[str, str] = json.loads(book.read_text()) if book.exists() else {}
    return known


def import_all(paths: Paths, archives: Iterable[Path]) -> None:
    """Bring archives into the node's containerd, unless that very archive is there."""
    ctr = (*node.ctr(paths), "images")
    known, there = imported(paths), set(run(*ctr, "ls", "-q").split())
    for file in archives:
        image = builder.name_in(file)
        if image in there and known.get(image) == file.name:
            continue
        with step(f"import {image}"):
            run(*ctr, "import", file, log=paths.log / "images.log")
        known[image] = file.name
        (paths.state / "images.json").write_text(json.dumps(known, indent=1))
