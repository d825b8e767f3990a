"""The schema's rules between fields, evaluated here: the part of CEL that our own schemas use.

The libraries for CEL bring compilers or terminals with them, which an operator's image should not carry for a dozen
rules. Here: parsing by Python's own parser, and a walk over the few kinds of expression that remain. What is not among
them is `Unsupported`, never guessed.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKENS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|&&|\|\||!=|!|\btrue\b|\bfalse\b|\bnull\b")
_WORDS = {"&&": " and ", "||": " or ", "!": "~", "true": "True", "false": "False", "null": "None"}
"""`~` stands for CEL's `!`: it binds as tightly, which Python's `not` does not."""
_COMPARE: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
}
_ABSENT = object()


class Unsupported(Exception):
    """The rule has something in it that is not evaluated here."""


def holds(rule: str, value: Any, schema: Mapping[str, Any]) -> bool:
    """Return whether a value keeps a rule; a field that was left out has its schema's default, as in the API server."""
    source = _TOKENS.sub(lambda found: _WORDS.get(found[0], found[0]), rule)
    try:
        return bool(_Rule(value, schema).value_of(ast.parse(source, mode="eval").body))
    except (SyntaxError, TypeError, KeyError) as error:
        raise Unsupported(f"{rule}: {error}") from error


class _Rule:
    def __init__(self, value: Any, schema: Mapping[str, Any]) -> None:
        self._value, self._schema = value, schema

    def value_of(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.List():
                return [self.value_of(each) for each in node.elts]
            case ast.BoolOp(op=ast.And()):
                return all(self.value_of(each) for each in node.values)
            case ast.BoolOp():
                return any(self.value_of(each) for each in node.values)
            case ast.UnaryOp(op=ast.Invert()):
                return not self.value_of(node.operand)
            case ast.Compare(ops=[compared]) if type(compared) in _COMPARE:
                return _COMPARE[type(compared)](self.value_of(node.left), self.value_of(node.comparators[0]))
            case ast.BinOp(op=ast.Mult()):
                return self.value_of(node.left) * self.value_of(node.right)
            case ast.Call(func=ast.Name(id="has"), args=[field]):
                return self._field(field)[0] is not _ABSENT
            case ast.Call(func=ast.Name(id="size"), args=[counted]):
                return len(self.value_of(counted))
            case ast.Call(func=ast.Attribute(value=text, attr="matches"), args=[pattern]):
                return re.search(self.value_of(pattern), self.value_of(text)) is not None
            case ast.Name(id="self") | ast.Attribute():
                found, _ = self._field(node)
                if found is _ABSENT:
                    raise KeyError(ast.unparse(node))
                return found
        raise Unsupported(ast.unparse(node))

    def _field(self, node: ast.expr) -> tuple[Any, Mapping[str, Any]]:
        """Return a field and its schema; a default counts as given."""
        match node:
            case ast.Name(id="self"):
                return self._value, self._schema
            case ast.Attribute(value=inner, attr=name):
                outer, schema = self._field(inner)
                own = schema.get("properties", {}).get(name, {})
                return (outer.get(name, own.get("default", _ABSENT)) if isinstance(outer, dict) else _ABSENT), own
        raise Unsupported(ast.unparse(node))
