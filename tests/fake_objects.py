"""The pure half of the fake API server: how patches change an object, and which labels a selector selects."""

import re
from collections.abc import Mapping, Sequence
from typing import Any


def copied(value: Any) -> Any:
    """Return a copy that shares nothing: what JSON can say has two kinds of containers only, and no cycles."""
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value


def merge_patch(old: Any, patch: Any) -> Any:
    """Return `old` after a JSON merge patch (RFC 7386): None deletes a key, lists are replaced."""
    if not isinstance(patch, dict):
        return copied(patch)
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merge_patch(new.get(key), value)
    return new


def apply_leaving_others(old: Any, last_applied: Any, wanted: Any) -> Any:
    """Return `old` after a server-side apply: what this manager applied before and no longer wants goes away.

    Maps merge key by key and owner references by uid; other lists are replaced whole, which is right for one writer
    per list.
    """
    if isinstance(old, list) and isinstance(wanted, list) and all("uid" in each for each in (*old, *wanted)):
        before_uids = {each["uid"] for each in last_applied or ()}
        kept = [each for each in old if each["uid"] not in before_uids]
        return copied([*kept, *(each for each in wanted if each not in kept)])
    if not all(isinstance(value, dict) for value in (old, wanted)):
        return copied(wanted)
    before = last_applied if isinstance(last_applied, dict) else {}
    new = {key: value for key, value in old.items() if key not in before or key in wanted}
    for key in [key for key in old if key in before and key not in wanted and isinstance(old[key], dict)]:
        others = apply_leaving_others(old[key], before[key], {})
        new |= {key: others} if others else {}
    return new | {key: apply_leaving_others(old.get(key), before.get(key), value) for key, value in wanted.items()}


def json_patch(old: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Return `old` after add, replace, remove and test operations (RFC 6902); a failed test is a ValueError."""
    new = copied(old)
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = new
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        _change(place, last, operation)
    return new


def _change(place: Any, last: str, operation: Mapping[str, Any]) -> None:
    at: Any = (len(place) if last == "-" else int(last)) if isinstance(place, list) else last
    match operation["op"]:
        case "add" if isinstance(place, list):
            place.insert(at, operation["value"])
        case "add":
            place[at] = operation["value"]
        case "replace":
            place[at], _ = operation["value"], place[at]
        case "remove":
            del place[at]
        case "test" if place[at] != operation["value"]:
            raise ValueError(f"testing {operation['path']} failed")


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Return whether labels satisfy a selector: a=b, a!=b, a, !a, a in (b,c), a notin (b,c), joined by commas."""
    return all(_meets(term.strip(), labels) for term in re.split(r",(?![^(]*\))", selector) if term.strip())


def _meets(term: str, labels: Mapping[str, str]) -> bool:
    if among := re.fullmatch(r"(\S+) (in|notin) \((.*)\)", term):
        values = {value.strip() for value in among[3].split(",")}
        return (labels.get(among[1]) in values) == (among[2] == "in")
    if "!=" in term:
        key, _, value = term.partition("!=")
        return labels.get(key) != value
    if "=" in term:
        key, _, value = term.replace("==", "=").partition("=")
        return labels.get(key) == value
    return term[1:] not in labels if term.startswith("!") else term in labels
