"""Jenkins' way to say which fields are wanted: ``tree=jobs[name,lastBuild[number]]{0,10}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEPTH_LIMIT = 20
"""Levels of brackets that are read."""

_TOKEN = re.compile(r"\s*([A-Za-z0-9_*$-]+|\{[0-9,]*\}|[\[\],])", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The fields that are wanted of an object, each with what is wanted of it."""

    fields: Mapping[str, Tree] = field(default_factory=dict)
    part: slice = field(default_factory=lambda: slice(None))
    """Which items of a list."""

    def find(self, name: str) -> Tree | None:
        """Return what is wanted of that field; None if it is not wanted."""
        return self.fields.get(name) or self.fields.get("*")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An object of Jenkins' model. A field that is a function is called when it is wanted.

    As in Jenkins, a query without a tree sees every plain field of the object
    asked for, but only the `brief` ones of the objects below it. `hidden` fields
    are seen only by a tree that names them.
    """

    kind: str
    """The Java class, always shown as ``_class``."""
    fields: Mapping[str, Any | Callable[[], Any]]
    hidden: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    brief: tuple[str, ...] = ()


def parse_tree(text: str) -> Tree:
    """Read the value of ``tree``.

    Raises:
        ValueError: if it is malformed, or deeper than `DEPTH_LIMIT`.
    """
    tokens: list[str] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"unexpected {text[position]!r} in the tree")
        tokens.append(match.group(1))
        position = match.end()
    tree = Tree(fields=_fields(tokens, 0))
    if tokens:
        raise ValueError(f"unexpected {tokens[0]!r} in the tree")
    return tree


def _fields(tokens: list[str], depth: int) -> dict[str, Tree]:
    """Take a comma-separated list of fields off the front of the tokens."""
    if depth > DEPTH_LIMIT:
        raise ValueError("the tree is too deep")
    fields: dict[str, Tree] = {}
    while True:
        name = tokens.pop(0) if tokens else ""
        if not name or name[0] in "{[],":
            raise ValueError("a name is missing in the tree")
        below: dict[str, Tree] = {}
        part = slice(None)
        if tokens and tokens[0] == "[":
            tokens.pop(0)
            below = _fields(tokens, depth + 1)
            if not tokens or tokens.pop(0) != "]":
                raise ValueError("a bracket is not closed in the tree")
        if tokens and tokens[0].startswith("{"):
            part = _part(tokens.pop(0)[1:-1])
        fields[name] = Tree(fields=below, part=part)
        if not tokens or tokens[0] != ",":
            return fields
        tokens.pop(0)


def _part(text: str) -> slice:
    """Read ``M,N`` (from M, below N), ``M,``, ``,N`` or ``N`` (that item alone)."""
    numbers = [int(number) if number else None for number in text.split(",")]
    if len(numbers) == 1 and numbers[0] is not None:
        return slice(numbers[0], numbers[0] + 1)
    if len(numbers) != 2:
        raise ValueError("a range in the tree is malformed")
    return slice(*numbers)


def render(value: Any, tree: Tree | None = None, *, nested: bool = False) -> Any:
    """Turn a value of the model into JSON, as far as the tree wants it."""
    if callable(value):
        value = value()
    if isinstance(value, Exported):
        fields: dict[str, Any] = {"_class": value.kind}
        if tree is not None:
            for name, item in {**value.fields, **value.hidden}.items():
                below = tree.find(name)
                if below is not None:
                    fields[name] = render(item, below, nested=True)
            return fields
        for name in value.brief if nested else value.fields:
            fields[name] = render(value.fields[name], nested=True)
        return fields
    if isinstance(value, Mapping):
        return {
            name: render(item, tree and tree.find(name), nested=True)
            for name, item in value.items()
            if tree is None or name == "_class" or tree.find(name) is not None
        }
    if isinstance(value, list):
        items = value if tree is None else value[tree.part]
        return [render(item, tree, nested=nested) for item in items]
    return value
