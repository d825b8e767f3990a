"""How sizes look in a terminal: tables that fold where it is narrow, and the bar of memory.

Here: layout and words around numbers. Not here: the numbers (`sizing`, `rungs`), the sentences (`bitshift_core.fit`).
"""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bitshift_core.artifact.facts import ArtifactFacts
from bitshift_core.fit.headline import of_engine
from bitshift_core.fit.need import Need

from .bar import Bar, legend
from .rungs import ModelPlan, RungPlan
from .screen import BAD, BUSY, DIM, GOOD, SIGNS
from .sizing import Sizing

GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10
VERDICTS = {"Fits": GOOD, "Waiting": BUSY, "DoesNotFit": BAD, "Refused": BAD, "Unreadable": BUSY}
NARROW_COLUMNS = 60
SUM_COLUMNS = 12
"""Columns that an item's name and bytes take in the table of all rungs."""


def amount(count: int) -> str:
    """Return bytes as a person reads them."""
    if count >= GIB:
        return f"{count / GIB:,.2f} GiB" if count < 100 * GIB else f"{count / GIB:,.1f} GiB"
    if count >= MIB:
        return f"{count / MIB:.1f} MiB"
    return f"{count / KIB:.1f} KiB" if count >= KIB else f"{count} B"


# One artifact


def size_screen(sizing: Sizing, artifact: str, nodes: str) -> RenderableType:
    """Return everything about one artifact's size."""
    return Group(*_size_parts(sizing, artifact, nodes))


def _size_parts(sizing: Sizing, artifact: str, nodes: str) -> Iterator[RenderableType]:
    need = sizing.need
    yield Text(artifact, style="bold", overflow="fold")
    yield Text(described(sizing.facts), style=DIM)
    for note in sizing.facts.notes:
        yield Text(f"! {note}", style=BUSY)
    yield _heading("Weights as stored")
    yield _weights(sizing.facts)
    yield _heading(_for_what(need))
    yield _items(sizing)
    per_token, per_sequence = amount(sizing.kv_token_bytes), amount(sizing.kv_sequence_bytes)
    yield Text()
    each = f" of each of {need.gpus_per_replica} GPUs" if need.gpus_per_replica > 1 else ""
    yield Padding(
        Text.assemble(
            ("KV cache ", "bold"),
            f"{per_token} per token, {per_sequence} per sequence of {need.context_tokens:,} tokens{each}",
        ),
        (0, 2),
    )
    yield Text()
    yield Padding(Bar(sizing.items, sizing.capacity_bytes), (0, 2))
    yield Padding(legend(sizing.items, with_limit=bool(sizing.capacity_bytes)), (0, 2))
    yield Text()
    yield from _answer(sizing, nodes)


def described(facts: ArtifactFacts) -> str:
    """Return what an artifact is, in one line."""
    size = amount(sum(file.size_bytes for file in facts.files))
    files = "1 file" if len(facts.files) == 1 else f"{len(facts.files)} files"
    trained = f", trained for {facts.context_tokens:,} tokens" if facts.context_tokens else ""
    return f"{facts.architecture}, {facts.scheme}, {facts.format}: {size} in {files}, {facts.layers} layers{trained}"


class _Fitting:
    """A table with all columns where there is room for them, else with the ones that matter."""

    def __init__(self, wide: Table, narrow: Table) -> None:
        self.wide, self.narrow = wide, narrow

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the one that there is room for."""
        yield Padding(self.wide if options.max_width >= NARROW_COLUMNS else self.narrow, (0, 2))


def _weights(facts: ArtifactFacts) -> RenderableType:
    wide = _table("part", "type", numbers=("tensors", "elements", "bytes"))
    narrow = _table("part", "type", numbers=("bytes",))
    for group in facts.tensors:
        size = amount(group.bytes)
        wide.add_row(group.role, group.dtype, f"{group.count:,}", _elements(group.elements), size)
        narrow.add_row(group.role, group.dtype, size)
    whole = amount(sum(group.bytes for group in facts.tensors))
    for table, blanks in ((wide, 3), (narrow, 1)):
        table.add_section()
        table.add_row("sum", *[""] * blanks, whole, style="bold")
    return _Fitting(wide, narrow)


def _items(sizing: Sizing) -> RenderableType:
    wide, narrow = _table("item", numbers=("bytes", "share"), last="what it is"), _table("item", numbers=("bytes",))
    whole = max(sizing.needed_bytes, 1)
    for item in sizing.items:
        share = f"{100 * item.bytes / whole:.0f} %"
        wide.add_row(item.name, amount(item.bytes), share, Text(item.detail, style=DIM))
        narrow.add_row(item.name, amount(item.bytes))
    needed = amount(sizing.needed_bytes)
    rows: list[tuple[Table, tuple[str | Text, ...]]] = [(wide, ("sum", needed)), (narrow, ("sum", needed))]
    if sizing.capacity_bytes:
        offered = amount(sizing.capacity_bytes)
        rows += [(wide, ("of", offered, "", Text("that can be used", style=DIM))), (narrow, ("of", offered))]
    for table in (wide, narrow):
        table.add_section()
    for table, row in rows:
        table.add_row(*row, style="bold" if row[0] == "sum" else None)
    return _Fitting(wide, narrow)


def _answer(sizing: Sizing, nodes: str) -> Iterator[RenderableType]:
    if sizing.fit is None:
        yield Text(sizing.caveat or "No GPU was named: say `--gpu H100-80 --count 2` to hear what fits.", style=DIM)
        return
    fit = sizing.fit
    yield Text.assemble(_state(fit.verdict), f" on {nodes}")
    if fit.headline:
        yield Text(fit.headline, style="bold")
    yield Text(fit.message)
    if fit.held:
        yield Text(of_engine(sizing.need, fit.held), style=DIM)
    context = f"{sizing.need.context_tokens:,} tokens"
    if sizing.most_sequences:
        fit_or_fits = "fits" if sizing.most_sequences == 1 else "fit"
        yield Text(f"At most {_counted(sizing.most_sequences, 'sequence')} of {context} {fit_or_fits}.")
    else:
        yield Text(f"Not one sequence of {context} fits.")


# A ladder


class PlanScreen:
    """All rungs of one model: a table where there is room for one, else a list for each rung."""

    def __init__(self, plan: ModelPlan, nodes: str) -> None:
        self.plan, self.nodes = plan, nodes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, then what is to be said of each rung."""
        plan = self.plan
        fitting = sum(rung.fits for rung in plan.rungs)
        yield Text.assemble((plan.name, "bold"), f" ({plan.source})  {fitting} of {len(plan.rungs)} rungs fit")
        yield Text(f"on {self.nodes}", style=DIM)
        for note in plan.notes:
            yield Text(f"! {note}", style=BUSY)
        names = list(dict.fromkeys(item.name for rung in plan.rungs for item in rung.items))
        longest = max(len(rung.name) for rung in plan.rungs)
        is_wide = longest + 16 + SUM_COLUMNS * (len(names) + 1) <= options.max_width
        if is_wide and names:
            yield Text()
            yield _ladder(plan.rungs, names)
        whole_bytes = max(max(rung.needed_bytes, rung.capacity_bytes) for rung in plan.rungs)
        for rung in plan.rungs:
            yield Text()
            yield from _rung(rung, whole_bytes, with_items=not is_wide)
        shown = [item for rung in plan.rungs for item in rung.items]
        if shown:
            yield Text()
            yield legend(list({item.name: item for item in shown if item.bytes}.values()), with_limit=True)


def _ladder(rungs: Sequence[RungPlan], names: Sequence[str]) -> RenderableType:
    table = _table("rung", "verdict", numbers=(*names, "sum"))
    for rung in rungs:
        found = {item.name: amount(item.bytes) for item in rung.items}
        sums = [found.get(name, "") for name in names] + [amount(rung.needed_bytes) if rung.items else ""]
        table.add_row(Text(rung.name, style="bold"), Text(rung.state, style=VERDICTS[rung.state]), *sums)
    return table


def _rung(rung: RungPlan, whole_bytes: int, *, with_items: bool) -> Iterator[RenderableType]:
    title = Text.assemble((rung.name, "bold"), "  ", _state(rung.state))
    if rung.facts:
        title.append(f"  {rung.facts.scheme}, {rung.facts.format}", style=DIM)
    if rung.items and rung.capacity_bytes:
        title.append(f"  {amount(rung.needed_bytes)} of {amount(rung.capacity_bytes)}", style=DIM)
    yield title
    if rung.items:
        if with_items:
            table = _table("item", numbers=("bytes",))
            for item in rung.items:
                table.add_row(item.name, amount(item.bytes))
            yield Padding(table, (0, 2))
        yield Padding(Bar(rung.items, rung.capacity_bytes, whole_bytes), (0, 2))
    if rung.need:
        yield Padding(Text(_for_what(rung.need), style=DIM), (0, 2))
    if rung.headline:
        yield Padding(Text(rung.headline, style="bold"), (0, 2))
    said = f"{rung.reason}: {rung.message}" if rung.reason not in ("", "Fits") else rung.message
    yield Padding(Text(said), (0, 2))
    if rung.need and rung.held:
        yield Padding(Text(of_engine(rung.need, rung.held), style=DIM), (0, 2))
    for note in rung.notes:
        yield Padding(Text(f"! {note}", style=BUSY), (0, 2))


def _for_what(need: Need) -> str:
    engine = f"{need.runtime} {need.engine_version}".strip()
    sequences = f"{_counted(need.concurrent_sequences, 'sequence')} of {need.context_tokens:,} tokens"
    kv_cache = "" if need.kv_cache_dtype == "auto" else f", KV cache in {need.kv_cache_dtype}"
    gpus = _counted(need.gpus_per_replica, "GPU") if need.gpus_per_replica else "a CPU"
    sums = "" if need.gpus_per_replica < 2 else ", bytes of each"
    return f"{engine} with {sequences}{kv_cache} on {gpus}{sums}"


def _state(state: str) -> Text:
    colour = VERDICTS[state]
    return Text(f"{SIGNS[colour]} {state}", style=colour)


def _table(*words: str, numbers: Sequence[str] = (), last: str = "") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style=DIM)
    for word in words:
        table.add_column(word, overflow="fold")
    for word in numbers:
        table.add_column(word, justify="right", no_wrap=True)
    if last:
        table.add_column(last, overflow="fold")
    return table


def _elements(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
