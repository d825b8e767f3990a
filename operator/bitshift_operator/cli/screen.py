"""One screen about one model, for a terminal.

Here: layout and colours. Not here: what is said (`cli.story`), and every sentence of the operator's own.
"""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bitshift_core.api.v1alpha1 import GateStatus, RungStatus

from .bar import Bar, legend
from .story import Story, next_commands, waits_for

GIB, MIB = 1 << 30, 1 << 20
GOOD, BAD, BUSY, DIM = "green", "red", "yellow", "bright_black"
COLOURS = {
    "True": GOOD, "Passed": GOOD, "Current": GOOD, "Live": GOOD, "Serving": GOOD, "Fits": GOOD,
    "False": BAD, "Failed": BAD, "Refused": BAD, "DoesNotFit": BAD, "Rejected": BAD, "Blocked": BAD,
    "RollingBack": BAD, "Inconclusive": BUSY, "Running": BUSY, "Unknown": DIM,
}  # fmt: skip
ABNORMAL = {"Stalled": BAD, "Reconciling": BUSY}
"""Conditions that are there only while they are true."""
SIGNS = {GOOD: "●", BAD: "✗", BUSY: "◌", DIM: "·"}


def screen(story: Story) -> RenderableType:
    """Return everything about a model, the most urgent first."""
    return Group(*_parts(story))


def _parts(story: Story) -> Iterator[RenderableType]:
    yield _headline(story)
    yield from _ladder(story)
    yield from _traffic(story)
    yield from _refused(story)
    yield from _conditions(story)
    yield from _next(story)


def _headline(story: Story) -> RenderableType:
    status = story.status
    title = Text.assemble((story.name, "bold"), f" in {story.namespace}  ")
    title.append(status.phase or "not looked at yet", style=f"bold {COLOURS.get(status.phase, BUSY)}")
    title.append(f" ({status.reason})" if status.reason else "", style=DIM)
    facts = (
        (f"rung {status.rung}", bool(status.rung)),
        (f"canary {status.canary}", bool(status.canary)),
        (f"gates {status.gates}", bool(status.gates)),
        (f"serves {status.current_revision}", bool(status.current_revision)),
        ("users are on stable", not status.current_revision and bool(status.phase) and not story.users_on_candidate),
        ("paused", story.is_paused),
    )
    line = Text(" · ".join(text for text, said in facts if said), style=DIM)
    lines = [title, line, *(Text(said) for said in (status.message, _lent(story)) if said)]
    waiting = Text.assemble(("Waits for ", "bold"), waits_for(story))
    handover = [Padding(Text(status.handover), (0, 4))] if status.handover else []
    return Group(*(line for line in (*lines, waiting) if line.plain), *handover)


def _lent(story: Story) -> str:
    """Return what stable lent, unless the message says it already."""
    return "" if story.status.lent in story.status.message else story.status.lent


def _ladder(story: Story) -> Iterator[RenderableType]:
    known = {rung.name: rung for rung in story.status.rungs}
    yield _heading("Ladder")
    for wanted in story.spec.ladder:
        yield Padding(_rung(known.get(wanted.name) or RungStatus(name=wanted.name), story), (0, 2))


def _rung(rung: RungStatus, story: Story) -> RenderableType:
    colour = COLOURS.get(rung.state, BUSY)
    line = Text.assemble((f"{SIGNS[colour]} ", colour), (rung.name, "bold"), "  ", (rung.state, colour))
    if rung.needed_bytes is not None:
        line.append(f"  needs {size(rung.needed_bytes)}{_where(rung, story)}", style=DIM)
    details = _table()
    if rung.message:
        details.add_row(Text(rung.reason or "why", style=DIM), Text(rung.message))
    if rung.artifact and rung.artifact != _asked_for(rung, story):
        details.add_row(Text("artifact", style=DIM), Text(rung.artifact))
    if rung.engine:
        details.add_row(Text("engine", style=DIM), Text(rung.engine))
    if rung.sizing:
        items = "  +  ".join(f"{item.name} {size(item.bytes)}" for item in rung.sizing)
        details.add_row(Text("sizing", style=DIM), Text(items, style=DIM))
    if rung.sizing and rung.offered_bytes:
        details.add_row("", Bar(rung.sizing, rung.offered_bytes))
        details.add_row("", legend(rung.sizing, with_limit=True) + Text(f": {size(rung.offered_bytes)}", style=DIM))
    if rung.headline:
        details.add_row("", Text(rung.headline, style="bold"))
    for gate in rung.gates:
        details.add_row(_verdict(gate), Text(gate.message or "no verdict yet"))
    return Group(line, Padding(details, (0, 2))) if details.row_count else line


def _asked_for(rung: RungStatus, story: Story) -> str:
    """Return the artifact that the spec names: told again only where it was pinned to one of its versions."""
    return next((each.artifact for each in story.spec.ladder if each.name == rung.name), "")


def _where(rung: RungStatus, story: Story) -> str:
    wanted = next((each for each in story.spec.ladder if each.name == rung.name), None)
    own = wanted.serving.gpus_per_replica if wanted else None
    gpus = story.spec.serving.gpus_per_replica if own is None else own
    if gpus is None:
        return ""
    return " per GPU" if gpus else " of memory"


def _verdict(gate: GateStatus) -> Text:
    return Text.assemble(f"{gate.name} ", (gate.verdict, COLOURS.get(gate.verdict, BUSY)))


def _traffic(story: Story) -> Iterator[RenderableType]:
    traffic = story.status.traffic
    if not traffic.step:
        return
    yield _heading("Traffic and evidence")
    counts = f"{traffic.candidate_requests:,} requests on the candidate, {traffic.stable_requests:,} on stable"
    enrolled = f"step '{traffic.step}': {traffic.enrolled} of {traffic.known} known tenants enrolled; {counts}"
    yield Padding(Group(Text(enrolled), *([Text(traffic.message)] if traffic.message else [])), (0, 2))
    table = _table()
    for tenant in traffic.worst:
        table.add_row(Text(tenant.name or "anonymous"), Text(f"{tenant.requests:,} requests: {tenant.message}"))
    if table.row_count:
        yield Padding(Group(Text("where the candidate looks worst:", style=DIM), table), (0, 2))


def _refused(story: Story) -> Iterator[RenderableType]:
    if not story.status.refused:
        return
    yield _heading("Refused for good, until `retry` or a new spec")
    table = _table()
    for each in story.status.refused:
        seen = " (users had seen it)" if each.live else ""
        table.add_row(Text(each.revision), Text(f"{each.reason}{seen}: {each.message}"))
    yield Padding(table, (0, 2))


def _conditions(story: Story) -> Iterator[RenderableType]:
    if not story.status.conditions:
        return
    yield _heading("Conditions")
    table = _table()
    for each in story.status.conditions:
        good = (
            {"True": "False", "False": "True"}.get(each.status, each.status) if each.type in ABNORMAL else each.status
        )
        state = Text(each.status, style=BUSY if each.type == "Reconciling" else COLOURS.get(good, DIM))
        table.add_row(Text.assemble(f"{each.type} ", state), Text.assemble((f"{each.reason}: ", DIM), each.message))
    yield Padding(table, (0, 2))


def _next(story: Story) -> Iterator[RenderableType]:
    commands = next_commands(story)
    if not commands:
        return
    yield _heading("What you can say")
    table = _table()
    for command, does in commands:
        table.add_row(Text(command, no_wrap=True), Text(does, style=DIM))
    yield Padding(table, (0, 2))


def size(count: int) -> str:
    """Return bytes as a person reads them."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
