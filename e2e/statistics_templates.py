"""The templates in influxdb.conf, read as InfluxDB reads them: which name becomes which series.

A model, so that every name can be checked without InfluxDB; an end-to-end test
holds it against the real one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = Path(__file__).parent.parent / "deploy" / "statistics"

CONFIG = DIRECTORY / "influxdb" / "influxdb.conf"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a value goes."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    """Sorted, as in a series' key."""
    field: str

    @property
    def series(self) -> str:
        """The series' key, as `SHOW SERIES` writes it."""
        return ",".join([self.measurement, *(f"{name}={value}" for name, value in self.tags)])


@dataclass(frozen=True, kw_only=True)
class Template:
    """What each part of a name is."""

    parts: Sequence[str]
    tags: Sequence[tuple[str, str]]
    separator: str

    def apply(self, name: str) -> Point:
        """Put the name's parts in their places; parts beyond the template's are dropped."""
        places: dict[str, list[str]] = {tag: [value] for tag, value in self.tags}
        for part, value in zip(self.parts, name.split("."), strict=False):
            if part:
                places.setdefault(part, []).append(value)
        joined = {part: self.separator.join(values) for part, values in places.items()}
        measurement = joined.pop("measurement", "")
        place = joined.pop("field", "value")
        return Point(measurement=measurement, tags=tuple(sorted(joined.items())), field=place)


@dataclass(kw_only=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    template: Template | None = None


class Templates:
    """All templates of the Graphite listener."""

    def __init__(self, lines: Sequence[str], separator: str) -> None:
        """Take the configuration's lines: `FILTER TEMPLATE TAGS`, of which only one is a must."""
        self.default: Template | None = None
        self._root = _Node()
        for line in lines:
            words = line.split()
            tags: list[tuple[str, str]] = []
            if "=" in words[-1]:
                for each in words.pop().split(","):
                    tag, _, value = each.partition("=")
                    tags.append((tag, value))
            template = Template(parts=words[-1].split("."), tags=tags, separator=separator)
            if len(words) == 1:
                self.default = template
                continue
            node = self._root
            for part in words[0].split("."):
                node = node.children.setdefault(part, _Node())
            node.template = template

    @classmethod
    def shipped(cls) -> Templates:
        """Read the file that is deployed."""
        listener = tomllib.loads(CONFIG.read_text("utf-8"))["graphite"][0]
        return cls(listener["templates"], listener["separator"])

    def find(self, name: str) -> Template | None:
        """Return the template whose filter the name matches, without ever going back."""
        node = self._root
        for part in name.split("."):
            if not node.children:
                break
            child = node.children.get(part) or node.children.get("*")
            if child is None:
                break
            node = child
        return node.template

    def place(self, name: str) -> Point:
        """Return where the value of this name goes."""
        template = self.find(name) or self.default
        assert template is not None
        return template.apply(name)
