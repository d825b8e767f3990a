"""The five scenes: set-up, before, a rollout that works, one that must come back, the end."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape

from .story import Story
from .target import Target, apply, get
from .users import Users

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANIFESTS = HERE / "manifests"
SYSTEM = "bitshift-system"
NAMESPACE = "demo"
HOST = "llm.example.com"
ROLLOUT_SECONDS = 900.0


@dataclass
class Scene:
    """One rollout, from apply to its end."""

    title: str
    began: float
    ended: float = 0
    model: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def install(target: Target, console: Console, *more: str) -> None:
    """Install the chart with the images that were built from this working tree."""
    values: list[str] = []
    for key, image in zip(("image", "runtimeImage"), target.project_images, strict=True):
        repository, _, tag = image.rpartition(":")
        values += ["--set", f"{key}.repository={repository}", "--set", f"{key}.tag={tag}"]
    values += ["--set", f"operator.gatewayAddress={target.gateway_url_for_pods}"]
    chart = ROOT / "charts" / "bitshift"
    command = ["upgrade", "--install", "bitshift", chart, "-n", SYSTEM, "--create-namespace", "--wait", *values, *more]
    target.helm(*command, timeout_seconds=300)
    target.kubectl("-n", SYSTEM, "rollout", "restart", "deployment", "-l", "app.kubernetes.io/name=bitshift")
    target.kubectl(
        "-n", SYSTEM, "rollout", "status", "deployment", "-l", "app.kubernetes.io/name=bitshift", "--timeout=120s"
    )
    console.print("  Helm release 'bitshift' is installed in namespace bitshift-system.")


def before(
    target: Target, console: Console, work: Path, *, per_second: float = 1.3, more: tuple[str, ...] = ()
) -> Users:
    """Serve the model as anybody would, and let users talk from now until the end."""
    apply(target, yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
    forget(target)
    target.provide_models(NAMESPACE)
    apply(target, target.localised((MANIFESTS / "before.yaml").read_text()))
    target.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/chat", "--timeout=180s")
    users = Users.start(target.gateway_url, HOST, work / "requests.jsonl", per_second=per_second, more=more)
    wait_for(lambda: sum(each.ok for each in users.seen()) >= 10, 90, "ten answered requests", users)
    failed = [each for each in users.seen() if not each.ok]
    console.print(
        f"  12 tenants and anonymous users are answered ({len(users.seen())} requests, {len(failed)} failed)."
    )
    return users


def forget(target: Target) -> None:
    """Remove what an earlier demo left, so that the story begins at its beginning."""
    target.kubectl("-n", NAMESPACE, "delete", "quantizedmodel", "--all", "--ignore-not-found", "--timeout=120s")


def works(target: Target, console: Console, story: Story) -> Scene:
    """Roll a better rung out and promote it."""
    scene = Scene("A rollout that works", time.time())
    apply(target, (MANIFESTS / "works.yaml").read_text())
    status = story.follow(
        lambda status: (
            (status.get("phase") == "Serving" and bool(status.get("currentRevision")))
            or status.get("phase") in ("Rejected", "Blocked")
        ),
        seconds=ROLLOUT_SECONDS,
        what="the promotion",
    )
    scene.ended, scene.model = time.time(), story.model()
    if status.get("phase") != "Serving":
        raise RuntimeError(f"The first rollout ended in {status['phase']}: {status.get('message')}")
    show_rungs(console, status)
    return scene


def comes_back(target: Target, console: Console, story: Story, users: Users) -> Scene:
    """Roll out what passes every gate and fails live, and measure the way back."""
    scene = Scene("A rollout that must come back", time.time())
    apply(target, (MANIFESTS / "comes-back.yaml").read_text())
    verdict_at: list[float] = []

    def over(status: dict[str, Any]) -> bool:
        if not verdict_at and status.get("phase") == "RollingBack":
            verdict_at.extend(verdicts(target))
        return status.get("phase") in ("Rejected", "Blocked")

    status = story.follow(over, seconds=ROLLOUT_SECONDS, what="the rollback")
    scene.ended, scene.model = time.time(), story.model()
    if status.get("phase") != "Rejected" or not any(each.get("live") for each in status.get("refused") or []):
        raise RuntimeError(
            f"The second rollout was not refused live but ended in {status['phase']}: {status.get('message')}"
        )
    scene.facts |= way_back(scene, users, verdict_at or verdicts(target))
    return scene


def verdicts(target: Target) -> list[float]:
    """Return when the operator decided to roll back, as it wrote it on the routes."""
    routes = get(target, "httproutes", "-n", NAMESPACE, "-l", "bitshift.dev/model=chat")["items"]
    noted = [route["metadata"].get("annotations", {}).get("bitshift.dev/verdict-at") for route in routes]
    return [float(each) for each in noted if each][:1]


def way_back(scene: Scene, users: Users, verdict_at: list[float]) -> dict[str, Any]:
    """Return how many requests the bad release answered, and how soon after the verdict the last one began."""
    bad = [each for each in users.seen(scene.began, scene.ended) if each.arm == "candidate"]
    facts: dict[str, Any] = {
        "answered_by_bad_release": len(bad),
        "failed_at_bad_release": sum(not each.ok for each in bad),
    }
    if bad and verdict_at:
        facts["verdict_to_last_new_request_ms"] = round((max(each.started for each in bad) - verdict_at[0]) * 1000)
    facts["cut_streams"] = sum(each.problem == "cut stream" for each in users.seen(scene.began, scene.ended))
    return facts


def show_rungs(console: Console, status: dict[str, Any]) -> None:
    """Print what became of each rung."""
    for rung in status.get("rungs") or []:
        console.print(
            f"    [bold]{rung['name']}[/]: {rung['state']} ({rung.get('reason', '')}) {escape(rung.get('message', ''))}"
        )


def wait_for(condition: Any, seconds: float, what: str, users: Users) -> None:
    """Wait for a condition; the generator's end is an end of waiting, too."""
    ends = time.time() + seconds
    while not condition():
        if users.process.poll() is not None:
            raise RuntimeError("The load generator ended by itself; see its output above.")
        if time.time() > ends:
            raise TimeoutError(
                f"No {what} within {seconds:.0f} s: {json.dumps([each.__dict__ for each in users.seen()][-3:])}"
            )
        time.sleep(0.5)
