"""A bar of memory: what each item of a sum takes of what a GPU offers."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from bitshift_core.api.v1alpha1 import SizeItem

LONGEST = 100
LOOKS = {
    "weights": ("█", "blue"),
    "kv-cache": ("▓", "green"),
    "activations": ("▒", "yellow"),
    "graphs": ("◆", "magenta"),
    "other": ("░", "cyan"),
    "margin": ("·", "bright_black"),
}
"""Sign and colour: the sign alone tells where there are no colours."""
UNNAMED = ("+", "white")
FREE, LIMIT = " ", "┃"


class Bar:
    """The items side by side, the end of what is offered, and what is free before it or missing behind it."""

    def __init__(self, items: Sequence[SizeItem], capacity_bytes: int, whole_bytes: int = 0) -> None:
        """`whole_bytes` is what the whole width stands for, so that bars of one ladder can be compared."""
        needed = sum(item.bytes for item in items)
        self.items, self.capacity_bytes = items, capacity_bytes
        self.whole_bytes = max(needed, capacity_bytes, whole_bytes, 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one line as wide as there is room."""
        yield self.line(min(options.max_width, LONGEST))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return that it takes what room there is."""
        return Measurement(10, min(options.max_width, LONGEST))

    def line(self, width: int) -> Text:
        """Return the bar in so many columns; the limit's sign takes one of them."""
        needed = sum(item.bytes for item in self.items)
        whole, cells = self.whole_bytes, width - 1
        text, filled, taken = Text(no_wrap=True), 0, 0
        for item in self.items:
            taken += item.bytes
            end = round(taken * cells / whole)
            sign, colour = LOOKS.get(item.name, UNNAMED)
            text.append(sign * (end - filled), style=colour)
            filled = end
        text.append(FREE * (cells - filled))
        if not self.capacity_bytes:
            return text
        limit = round(self.capacity_bytes * cells / whole)
        style = "bold red" if needed > self.capacity_bytes else "bold"
        return Text.assemble(text[:limit], (LIMIT, style), text[limit:])


def legend(items: Sequence[SizeItem], *, with_limit: bool) -> Text:
    """Return what each sign stands for."""
    parts = [(LOOKS.get(item.name, UNNAMED), item.name) for item in items if item.bytes]
    text = Text()
    for (sign, colour), name in parts:
        text.append("  " if text else "")
        text.append(sign, style=colour)
        text.append(f" {name}", style="bright_black")
    return text + Text(f"  {LIMIT} end of what is offered" if with_limit else "", style="bright_black")
