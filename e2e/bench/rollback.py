"""Verdict → the last new request at the bad release, over many rollbacks on the real gateway, under users' traffic.

Beside it, as the bound in the same run: how long the gateway itself takes from an edited route to the last request
that still goes the old way.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from e2e.cluster import Cluster
from e2e.demo import scenes
from e2e.demo.target import OwnCluster
from e2e.demo.users import Users
from e2e.models import make_models
from e2e.steps import Model, manifest

GOAL_MILLIS = 2_000
STEP_SECONDS = 300.0


@dataclass(frozen=True)
class Rollback:
    """One way back."""

    millis: float
    answered: int
    cut: int
    failed_elsewhere: int


def spec(run: int) -> dict[str, object]:
    """Return the demo's good release; each run's spec differs, so that the last refusal is over."""
    found = manifest("works.yaml")
    found["ladder"] = found["ladder"][1:]
    found["traffic"]["holdSeconds"] = 3_600 + run
    return found


def one(cluster: Cluster, users: Users, run: int) -> Rollback:
    """Move users until the candidate answers some, have it rolled back, and measure from the operator's own verdict."""
    model = Model(cluster, "chat").given(spec(run))
    status = model.comes_to(
        lambda status: status.get("phase") in ("Shifting", "Holding") and (status.get("traffic") or {}).get("candidateRequests", 0) > 3,
        seconds=STEP_SECONDS, called="traffic on the candidate",
    )  # fmt: skip
    began = time.time()
    revision = next(rung["revision"] for rung in status["rungs"] if rung["name"] == status["rung"])
    model.cluster.kubectl("-n", "demo", "annotate", "qm", "chat", f"bitshift.dev/rollback={revision}", "--overwrite")
    verdicts: list[float] = []
    ends = time.time() + 60
    while not verdicts and time.time() < ends:
        verdicts = scenes.verdicts(cluster)
    model.comes_to(lambda status: status.get("phase") == "Rejected", seconds=120, called="Rejected")
    cluster.kubectl("-n", "demo", "annotate", "qm", "chat", "bitshift.dev/rollback-")
    seen = users.seen(began - 30)
    late = [each.started for each in seen if each.arm == "candidate"]
    millis = max(0.0, (max(late) - verdicts[0]) * 1000) if late else 0.0
    after = [each for each in seen if each.started >= began]
    return Rollback(
        millis,
        len(late),
        sum(each.problem == "cut stream" for each in after),
        sum(not each.ok for each in after if each.arm != "candidate"),
    )


def gateway_millis(cluster: Cluster) -> float:
    """Return how long the gateway takes to follow a route's edit, asked in a tight loop."""
    host = "bound.example.com"
    route = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bound, namespace: demo}
spec:
  parentRefs: [{name: gw, namespace: gateway-system}]
  hostnames: [%s]
  rules: [{backendRefs: [{name: %s, port: 80}]}]
"""
    cluster.apply(route % (host, "chat"))

    def status() -> int:
        return httpx.get(f"{cluster.gateway_url}/health", headers={"host": host}, timeout=10).status_code

    ends = time.monotonic() + 30
    while status() != 200 and time.monotonic() < ends:
        time.sleep(0.02)
    cluster.apply(route % (host, "nobody"))
    began, last = time.monotonic(), time.monotonic()
    while time.monotonic() - began < 3:
        if status() == 200:
            last = time.monotonic()
    cluster.kubectl("-n", "demo", "delete", "httproute", "bound")
    return (last - began) * 1000


@click.command()
@click.option("--runs", default=20, show_default=True, type=click.IntRange(1, 200))
@click.option("--per-second", default=1.2, show_default=True)
def main(runs: int, per_second: float) -> None:
    """Print each rollback, and the distribution over all of them beside the gateway's own delay."""
    make_models()
    cluster = OwnCluster()
    cluster.up()
    console = scenes.Console()
    scenes.install(cluster, console)
    users = scenes.before(cluster, console, Path("build/bench-rollback"), per_second=per_second)
    try:
        found = []
        for run in range(runs):
            found.append(one(cluster, users, run))
            print(f"  {run + 1:3} of {runs}: {found[-1].millis:6.0f} ms, {found[-1].answered} answered by the candidate, "
                  f"{found[-1].cut} cut streams, {found[-1].failed_elsewhere} failed elsewhere", flush=True)  # fmt: skip
        bounds = sorted(gateway_millis(cluster) for _ in range(5))
    finally:
        users.stop()
    ordered = sorted(each.millis for each in found)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    print(
        f"verdict → last new request at the bad release, {runs} runs: p50 {p50:.0f} ms, p99 {p99:.0f} ms (goal {GOAL_MILLIS})"
    )
    print(
        f"cut streams: {sum(each.cut for each in found)}; failed elsewhere: {sum(each.failed_elsewhere for each in found)}"
    )
    print(
        f"the gateway alone, route edited → last request the old way: median {bounds[2]:.0f} ms; ratio {p50 / max(1.0, bounds[2]):.1f}"
    )


if __name__ == "__main__":
    main()
