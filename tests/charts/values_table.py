"""Writes the chart's table of values from the sentences in `values.yaml`: `python tests/charts/values_table.py`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "bitshift"
START, END = "<!-- values: written by `make crds` -->", "<!-- end of values -->"
LONGEST_DEFAULT = 40


def documented() -> Iterator[tuple[str, str, Any]]:
    """Yield (path, sentence, default) of every value that has a comment above it, in the file's order."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values, path, comment = yaml.safe_load(text), [], []
    for line in text.splitlines():
        if said := re.match(r" *# (.*)", line):
            comment.append(said[1])
        elif key := re.match(r"( *)(\w+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                yield ".".join(path), " ".join(comment), default_of(values, path)
            comment = []


def default_of(values: Any, path: list[str]) -> Any:
    """Return what a path leads to."""
    for key in path:
        values = values[key]
    return values


def all_paths(values: Any, documented_paths: set[str], path: str = "") -> Iterator[str]:
    """Yield every value that is not part of one with a sentence of its own."""
    if path in documented_paths or not isinstance(values, dict):
        yield path
        return
    for key, value in values.items():
        yield from all_paths(value, documented_paths, f"{path}.{key}".lstrip("."))


def table() -> str:
    """Return the Markdown table."""
    lines = ["| value | default | what it is |", "| --- | --- | --- |"]
    for path, sentence, default in documented():
        shown = json.dumps(default)
        shown = f"`{shown}`" if len(shown) <= LONGEST_DEFAULT else "see `values.yaml`"
        lines.append(f"| `{path}` | {shown} | {sentence.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def readme() -> str:
    """Return the chart's README with the table as it must be now."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme(), encoding="utf-8")
    print("charts/bitshift/README.md")
