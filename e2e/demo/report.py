"""The demo as one page: who answered whom, how fast, and what the object said meanwhile."""

import base64
import html
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from e2e.traffic import Request

from .scenes import Scene
from .story import Story

PARTS = {"weights": "#2e86c1", "kv-cache": "#27ae60", "activations": "#f1c40f", "graphs": "#8e44ad", "other": "#16a2b8",
         "margin": "#bdc3c7"}  # fmt: skip
COLOURS = {"direct": "#7f8c8d", "stable": "#2e86c1", "candidate": "#e67e22"}
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.35rem .6rem;text-align:left;
vertical-align:top}.bar{position:relative;height:.7rem;background:#eee;display:flex;min-width:18rem}.bar i{height:100%}
.bar b{position:absolute;top:-2px;bottom:-2px;width:2px;background:#222}h1{margin-bottom:0}.note{color:#555}img{width:100%}code{background:#f4f4f4;padding:0 .2rem}"""


def write(path: Path, requests: Sequence[Request], story: Story, scenes: Sequence[Scene]) -> Path:
    """Write the page, self-contained, and return where it lies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Bitshift demo</title><style>{STYLE}</style>",
        "<h1>Bitshift demo</h1>",
        f"<p class=note>{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {len(requests)} requests of 12 tenants and anonymous users.</p>",
        f"<h2>Who answered</h2><img alt='requests by who answered' src='{_shares(requests, story)}'>",
        f"<h2>How fast</h2><img alt='time to the first token' src='{_latency(requests)}'>",
        *(_scene(scene) for scene in scenes),
        f"<h2>What the object said</h2>{_moments(story)}",
    ]
    path.write_text("\n".join(parts), encoding="utf-8")
    return path.resolve()


def _shares(requests: Sequence[Request], story: Story) -> str:
    """Requests in windows of five seconds, by who answered; failures as crosses; phases as lines."""
    start = min(request.started for request in requests)
    figure, axes = pyplot.subplots(figsize=(12, 3.6))
    arms = ["direct", "stable", "candidate"]
    times = [[(each.started - start) / 60 for each in requests if each.arm == arm] for arm in arms]
    minutes = (max(request.started for request in requests) - start) / 60
    axes.hist(
        times, bins=max(10, int(minutes * 12)), stacked=True, color=[COLOURS[arm] for arm in arms],
        label=["stable, no relay", "stable through the relay", "candidate"],
    )  # fmt: skip
    failed = [(each.started - start) / 60 for each in requests if not each.ok]
    axes.plot(failed, [0.4] * len(failed), "x", color="#c0392b", label=f"failed ({len(failed)})")
    last, room_from = "", -1.0
    for moment in story.moments:
        at = (moment.at - start) / 60
        if moment.phase == last:
            continue
        axes.axvline(at, color="#bbb", linewidth=0.8)
        if at >= room_from:  # names of short phases would lie on one another; the table below has them all
            axes.text(at, axes.get_ylim()[1], f" {moment.phase}", rotation=60, fontsize=7, va="bottom")
            room_from = at + minutes / 50
        last = moment.phase
    axes.set_xlabel("minutes")
    axes.set_ylabel("requests per 5 s")
    axes.legend(loc="upper left", fontsize=8)
    return _picture(figure)


def _latency(requests: Sequence[Request]) -> str:
    figure, axes = pyplot.subplots(figsize=(12, 3))
    start = min(request.started for request in requests)
    for arm, colour in COLOURS.items():
        seen = [each for each in requests if each.arm == arm and each.ttft_seconds]
        axes.plot(
            [(each.started - start) / 60 for each in seen], [each.ttft_seconds * 1000 for each in seen],
            ".", color=colour, markersize=4, label=arm,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("minutes")
    axes.set_ylabel("first token, ms")
    axes.legend(fontsize=8)
    return _picture(figure)


def _scene(scene: Scene) -> str:
    status = scene.model.get("status") or {}
    rows = []
    for rung in status.get("rungs") or []:
        gates = "<br>".join(
            f"{html.escape(gate['name'])}: <b>{gate['verdict']}</b> {html.escape(gate.get('message', ''))}"
            for gate in rung.get("gates") or []
        )
        size = " + ".join(
            f"{html.escape(item['name'])} {item['bytes'] / 2**20:.0f} MiB" for item in rung.get("sizing") or []
        )
        rows.append(
            f"<tr><td><b>{html.escape(rung['name'])}</b><td>{rung['state']}<td>{html.escape(rung.get('message', ''))}"
            f"<br><span class=note>{size}</span>{_bar(rung)}<td>{gates}"
        )
    facts = "".join(f"<li>{html.escape(key.replace('_', ' '))}: <b>{value}</b>" for key, value in scene.facts.items())
    return (
        f"<h2>{html.escape(scene.title)}</h2><p class=note>{scene.ended - scene.began:.0f} s from apply to the end.</p>"
        f"<table><tr><th>rung<th>state<th>why<th>gates{''.join(rows)}</table><ul>{facts}</ul>"
    )


def _bar(rung: dict[str, Any]) -> str:
    """Return what each item takes of what the node offers, side by side."""
    items, offered = rung.get("sizing") or [], rung.get("offeredBytes") or 0
    whole = max(offered, sum(item["bytes"] for item in items))
    if not offered or not items:
        return ""
    parts = "".join(
        f'<i title="{html.escape(item["name"])}" style="width:{100 * item["bytes"] / whole:.2f}%;background:{PARTS.get(item["name"], "#999")}"></i>'
        for item in items
    )
    end = f'<b style="left:{100 * offered / whole:.2f}%"></b>'
    return f"<div class=bar>{parts}{end}</div><span class=note>{html.escape(rung.get('headline', ''))}</span>"


def _moments(story: Story) -> str:
    first = story.moments[0].at if story.moments else 0
    rows = "".join(
        f"<tr><td>{moment.at - first:.0f} s<td>{moment.phase}<td>{html.escape(moment.reason)}<td>{html.escape(moment.message)}"
        for moment in story.moments
        if moment.phase
    )
    return f"<table><tr><th>after<th>phase<th>reason<th>message{rows}</table>"


def _picture(figure: "pyplot.Figure") -> str:
    buffer = io.BytesIO()
    figure.tight_layout()
    figure.savefig(buffer, format="png", dpi=110)
    pyplot.close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
