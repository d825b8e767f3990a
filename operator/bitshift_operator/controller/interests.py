"""Which models depend on which objects that are not theirs: a change of one is a reason to look again.

Here: who wants to hear of what. Not here: the news itself (`cluster.caches`).
"""

from collections import defaultdict
from collections.abc import Iterable

from bitshift_operator.cluster.kinds import Key, Kind

Thing = tuple[Kind, Key]
ANY = Key("*", "*")
"""All objects of a kind: who waits for room wants to hear of every node."""


class Interests:
    """What each model looked at when it last had its turn; kept in memory only, since every turn says it anew."""

    def __init__(self) -> None:
        self._things: dict[Key, frozenset[Thing]] = {}
        self._models: defaultdict[Thing, set[Key]] = defaultdict(set)

    def note(self, model: Key, things: Iterable[Thing]) -> None:
        """Have a model hear of these things and of nothing it named before."""
        new, old = frozenset(things), self._things.get(model, frozenset())
        for thing in old - new:
            self._models[thing].discard(model)
            if not self._models[thing]:
                del self._models[thing]
        for thing in new - old:
            self._models[thing].add(model)
        if new:
            self._things[model] = new
        else:
            self._things.pop(model, None)

    def forget(self, model: Key) -> None:
        """Drop a model that is gone."""
        self.note(model, ())

    def in_one(self, kind: Kind, key: Key) -> frozenset[Key]:
        """Return the models that depend on one object."""
        return frozenset(self._models.get((kind, key), ()))

    def in_any(self, kind: Kind) -> frozenset[Key]:
        """Return the models that depend on a kind as a whole."""
        return frozenset(self._models.get((kind, ANY), ()))
