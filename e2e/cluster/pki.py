"""Certificates and kubeconfigs, made with openssl once per state folder and kept over restarts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from e2e.cluster.commands import run
from e2e.cluster.settings import API_SERVICE_ADDRESS, NODE, NODE_ADDRESS, Paths

DAYS = "365"
SERVER_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
SERVER_ADDRESSES = ("127.0.0.1", NODE_ADDRESS, API_SERVICE_ADDRESS)


@dataclass(frozen=True)
class Identity:
    """Somebody whom the API server knows by a certificate: the organisation is the group."""

    file: str
    user: str
    group: str


ADMIN = Identity("admin", "admin", "system:masters")
USERS = (
    ADMIN,
    Identity("controller-manager", "system:kube-controller-manager", "bitshift"),
    Identity("scheduler", "system:kube-scheduler", "bitshift"),
    Identity("proxy", "system:kube-proxy", "bitshift"),
    Identity("kubelet", f"system:node:{NODE}", "system:nodes"),
)
SERVER = Identity("apiserver", "kube-apiserver", "bitshift")


def kubeconfig(paths: Paths, user: Identity) -> Path:
    """Return where this user's way in lies."""
    return paths.kubeconfig if user is ADMIN else paths.pki / f"{user.file}.kubeconfig"


def client(paths: Paths, name: str) -> Path:
    """Return the kubeconfig of a component."""
    return kubeconfig(paths, next(user for user in USERS if user.file == name))


def issue_all(paths: Paths) -> None:
    """Make the authority and all it issues, unless a complete set is there."""
    done = paths.pki / "complete"
    if done.exists():
        return
    shutil.rmtree(paths.pki, ignore_errors=True)
    paths.pki.mkdir(parents=True)
    paths.pki.chmod(0o700)
    log = paths.log / "pki.log"
    authority = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", DAYS, "-subj", "/CN=bitshift-e2e")
    run(*authority, "-keyout", "ca.key", "-out", "ca.crt", cwd=paths.pki, log=log)
    run("openssl", "genrsa", "-out", "service-accounts.key", "2048", cwd=paths.pki, log=log)
    names = [f"DNS:{name}" for name in SERVER_NAMES] + [f"IP:{address}" for address in SERVER_ADDRESSES]
    issue(paths, SERVER, ",".join(names))
    for user in USERS:
        issue(paths, user, f"DNS:{user.file}")
        write_kubeconfig(paths, user)
    done.touch()


def issue(paths: Paths, to: Identity, names: str) -> None:
    """Make a key and a certificate signed by the authority."""
    log = paths.log / "pki.log"
    key, request, certificate = (f"{to.file}.{kind}" for kind in ("key", "csr", "crt"))
    (paths.pki / "extensions").write_text(f"subjectAltName={names}\n")
    asked = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/O={to.group}/CN={to.user}")
    run(*asked, "-keyout", key, "-out", request, cwd=paths.pki, log=log)
    signed = ("openssl", "x509", "-req", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS)
    run(*signed, "-in", request, "-out", certificate, "-extfile", "extensions", cwd=paths.pki, log=log)


def write_kubeconfig(paths: Paths, user: Identity) -> None:
    """Write a kubeconfig that names the certificate files instead of holding them."""
    server = {"server": "https://127.0.0.1:6443", "certificate-authority": str(paths.pki / "ca.crt")}
    key = {
        "client-certificate": str(paths.pki / f"{user.file}.crt"),
        "client-key": str(paths.pki / f"{user.file}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bitshift-e2e", "cluster": server}],
        "users": [{"name": user.file, "user": key}],
        "contexts": [{"name": "bitshift-e2e", "context": {"cluster": "bitshift-e2e", "user": user.file}}],
        "current-context": "bitshift-e2e",
    }
    target = kubeconfig(paths, user)
    target.write_text(yaml.safe_dump(config, sort_keys=False))
    target.chmod(0o600)
