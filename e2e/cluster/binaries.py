"""Kubernetes, etcd, CoreDNS, Prometheus and containerd, built from Go modules alone; a stamp beside them says what from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster import packages
from e2e.cluster.commands import ClusterError, retried, run, step
from e2e.cluster.settings import (
    CONTAINERD_VERSION,
    COREDNS_VERSION,
    ETCD_VERSION,
    GATEWAY_API_VERSION,
    KUBERNETES_VERSION,
    KWOK_VERSION,
    OLDEST_GO,
    PROMETHEUS_VERSION,
    REGISTRY_VERSION,
    VERSITYGW_VERSION,
    Paths,
)

# Kubernetes' own module names these at v0.0.0: every one must be replaced by the release that belongs to it.
STAGING = (
    "api", "apiextensions-apiserver", "apimachinery", "apiserver", "cli-runtime", "client-go", "cloud-provider",
    "cluster-bootstrap", "code-generator", "component-base", "component-helpers", "controller-manager", "cri-api",
    "cri-client", "csi-translation-lib", "dynamic-resource-allocation", "endpointslice", "externaljwt", "kms",
    "kube-aggregator", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet", "metrics",
    "mount-utils", "pod-security-admission", "sample-apiserver", "sample-cli-plugin", "sample-controller",
)  # fmt: skip
STAGES = ("node/fast", "pod/fast")
COREDNS = "github.com/coredns/coredns"
GO_LANGUAGE = "{}.{}.0".format(*OLDEST_GO)
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet")
CONTAINERD_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr")
DNS_PLUGINS = ("cache", "errors", "health", "kubernetes", "loop", "ready")


@dataclass(frozen=True)
class Build:
    """One Go module of ours that names what it wants as tools, and may have a program of its own; it yields programs."""

    name: str
    programs: tuple[str, ...]
    module: str
    hint: str
    flags: str = "-s -w"
    tags: str = ""
    renamed: dict[str, str] = field(default_factory=dict)
    mains: dict[str, str] = field(default_factory=dict)

    @property
    def stamp(self) -> str:
        """All that decides what comes out."""
        return "\n".join((self.module, self.flags, self.tags, *self.mains.values()))

    @property
    def targets(self) -> tuple[str, ...]:
        """What Go is told to build."""
        return ("tool", *(f"./{program}" for program in self.mains))

    def lay_out(self, folder: Path) -> None:
        """Write what Go reads."""
        (folder / "go.mod").write_text(self.module)
        for program, text in self.mains.items():
            (folder / program).mkdir()
            (folder / program / "main.go").write_text(text)


def cluster() -> Build:
    """Return the build of all that the cluster runs: in one module graph, what they share is compiled once, not thrice.

    Of Prometheus' ways of discovery only Kubernetes' is taken, of CoreDNS' plugins those that its configuration names.
    """
    staging = "0." + KUBERNETES_VERSION.split(".", 1)[1]
    releases = {
        "k8s.io/kubernetes": KUBERNETES_VERSION,
        "go.etcd.io/etcd/server/v3": ETCD_VERSION,
        "github.com/prometheus/prometheus": PROMETHEUS_VERSION,
        COREDNS: COREDNS_VERSION,
    }
    tools = [f"k8s.io/kubernetes/cmd/{program}" for program in KUBERNETES_PROGRAMS]
    module = gomod(
        tools=[*tools, "go.etcd.io/etcd/server/v3", "github.com/prometheus/prometheus/cmd/prometheus"],
        requires=[f"{package} v{version}" for package, version in releases.items()],
        replaces=[f"k8s.io/{name} => k8s.io/{name} v{staging}" for name in STAGING],
    )
    major, minor, _ = KUBERNETES_VERSION.split(".")
    version = "k8s.io/component-base/version"  # without these, helm and kubectl take the server for v0.0.0
    flags = (
        f"-s -w -X {version}.gitVersion=v{KUBERNETES_VERSION} -X {version}.gitMajor={major}"
        f" -X {version}.gitMinor={minor} -X k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES_VERSION}"
    )
    return Build(
        "cluster",
        (*KUBERNETES_PROGRAMS, "etcd", "prometheus", "coredns"),
        module,
        hint="Kubernetes, etcd, Prometheus and CoreDNS; first time: 10 to 20 minutes on 2 cores",
        flags=flags,
        tags="remove_all_sd,enable_kubernetes_sd",
        renamed={"server": "etcd"},
        mains={"coredns": coredns_main()},
    )


def coredns_main() -> str:
    """Return the program of a name server without the SDKs of three clouds."""
    imports = [f'"{COREDNS}/coremain"', *(f'_ "{COREDNS}/plugin/{plugin}"' for plugin in DNS_PLUGINS)]
    return "package main\n\nimport (\n\t" + "\n\t".join(imports) + "\n)\n\nfunc main() { coremain.Run() }\n"


def containerd() -> Build:
    """Return the build of the node's container runtime, which asks for other versions than Kubernetes does."""
    package = "github.com/containerd/containerd/v2"
    module = gomod(
        tools=[f"{package}/cmd/{program}" for program in CONTAINERD_PROGRAMS],
        requires=[f"{package} v{CONTAINERD_VERSION}"],
    )
    said = f"-X {package}/version.Version=v{CONTAINERD_VERSION}"  # kubelets tell it, and without it nobody knows
    return Build("containerd", CONTAINERD_PROGRAMS, module, "first time: about 2 minutes", flags=f"-s -w {said}")


def kwok() -> Build:
    """Return the build of kwok, which only the tests of placement need."""
    package = "sigs.k8s.io/kwok"
    module = gomod(tools=[f"{package}/cmd/kwok"], requires=[f"{package} v{KWOK_VERSION}"])
    return Build("kwok", ("kwok",), module, "first time: about 2 minutes")


def registry() -> Build:
    """Return the build of the registry that the distribution project keeps, which only the tests of stores need."""
    package = "github.com/distribution/distribution/v3"
    module = gomod(tools=[f"{package}/cmd/registry"], requires=[f"{package} v{REGISTRY_VERSION}"])
    return Build("registry", ("registry",), module, "first time: about 4 minutes")


def versitygw() -> Build:
    """Return the build of a store that speaks S3 over a folder, which only the tests of stores need."""
    package = "github.com/versity/versitygw"
    module = gomod(tools=[f"{package}/cmd/versitygw"], requires=[f"{package} v{VERSITYGW_VERSION}"])
    return Build("versitygw", ("versitygw",), module, "first time: about 3 minutes")


def gomod(*, tools: Sequence[str] = (), requires: Sequence[str] = (), replaces: Sequence[str] = ()) -> str:
    """Return a module file; Go completes it, so that its list of indirect modules need not be kept here."""
    lines = ["module cluster", "", f"go {GO_LANGUAGE}", ""]
    lines += [f"tool {tool}" for tool in tools] + [f"require {each}" for each in requires]
    return "\n".join([*lines, *(f"replace {each}" for each in replaces)]) + "\n"


def build_all(paths: Paths) -> None:
    """Build what the cluster runs where it is missing or was built from something else."""
    for build in (cluster(), containerd()):
        ensure_built(build, paths)
    if not paths.crds.exists():
        with step("fetch the Gateway API's resource definitions"):
            copy_crds(paths)


def build_kwok(paths: Paths) -> None:
    """Build kwok and fetch its stages, which say how a node becomes ready and a pod runs."""
    ensure_built(kwok(), paths)
    stages = paths.bin / "kwok-stages.yaml"
    if not stages.exists():
        with step("fetch kwok's stages"), from_module(f"sigs.k8s.io/kwok@v{KWOK_VERSION}", paths, "kwok") as module:
            files = [file for each in STAGES for file in sorted((module / "kustomize" / "stage" / each).glob("*.yaml"))]
            texts = [file.read_text() for file in files if file.name != "kustomization.yaml"]
            stages.write_text("\n---\n".join(texts))


def build_stores(paths: Paths) -> None:
    """Build the registry and the S3 store where they are missing."""
    for build in (registry(), versitygw()):
        ensure_built(build, paths)


def ensure_built(build: Build, paths: Paths) -> None:
    """Build what is missing or was built from something else."""
    if not is_built(build, paths):
        paths.bin.mkdir(parents=True, exist_ok=True)
        with step(f"build {build.name}", build.hint):
            compile_programs(build, paths)


def is_built(build: Build, paths: Paths) -> bool:
    """Return whether all programs are there and were built from this very module file."""
    stamp = paths.bin / f".{build.name}.version"
    there = all((paths.bin / program).exists() for program in build.programs)
    return there and stamp.exists() and stamp.read_text() == build.stamp


def compile_programs(build: Build, paths: Paths) -> None:
    """Build into a folder beside the real one and move: a build that dies half-way leaves nothing that looks whole."""
    log = paths.log / f"build-{build.name}.log"
    with tempfile.TemporaryDirectory(dir=paths.cache) as folder:
        work, out = Path(folder), Path(folder) / "out"
        out.mkdir()
        build.lay_out(work)
        how = ("-mod=mod", "-trimpath", f"-tags={build.tags}", "-ldflags", build.flags)
        command: tuple[str | Path, ...] = (packages.go(paths), "build", *how, "-o", out, *build.targets)
        retried(3, lambda: run(*command, cwd=work, log=log, env={"CGO_ENABLED": "0"}, timeout_seconds=3600))
        for made in out.iterdir():
            made.replace(paths.bin / build.renamed.get(made.name, made.name))
    (paths.bin / f".{build.name}.version").write_text(build.stamp)


def copy_crds(paths: Paths) -> None:
    """Take the standard channel's definitions out of the module cache: they are not Go code, so nothing builds them."""
    module = f"sigs.k8s.io/gateway-api@v{GATEWAY_API_VERSION}"
    with from_module(module, paths, "gateway-api") as found, tempfile.TemporaryDirectory(dir=paths.cache) as folder:
        fresh = Path(folder) / "crds"
        fresh.mkdir()
        for definition in (found / "config" / "crd" / "standard").glob("*.yaml"):
            shutil.copyfile(definition, fresh / definition.name)
        paths.crds.parent.mkdir(parents=True, exist_ok=True)
        fresh.replace(paths.crds)


@contextmanager
def from_module(module: str, paths: Paths, name: str) -> Iterator[Path]:
    """Yield the folder of a module in Go's cache, fetched where it is not there."""
    log = paths.log / f"build-{name}.log"
    with tempfile.TemporaryDirectory(dir=paths.cache) as folder:
        (Path(folder) / "go.mod").write_text(gomod())
        go = packages.go(paths)
        found = Path(run(go, "env", "GOMODCACHE", cwd=Path(folder)).strip()) / module

        def download() -> None:
            """An older Go fetches and checks the module, then refuses to use it: what was fetched is all we need."""
            try:
                run(go, "mod", "download", module, cwd=Path(folder), log=log)
            except ClusterError:
                if not found.exists():
                    raise

        retried(3, download)
        yield found
