"""Fields of a report, read one by one: what can't be used is dropped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

T = TypeVar("T")

JAVA_INT_MAX = 2**31 - 1
"""Versions and builds are Java ints (contract §0, I2)."""

LONGEST_VALUE = 256
"""Characters of a text that are looked at."""

_MOST_FIELDS = 100
_LONGEST_RAW = 1024
_FLAGS = {"true": True, "false": False}


class Reason(Enum):
    """Why a report was rejected, or what in it was unusable; a closed set, as it ends in names."""

    EMPTY = "empty"
    """A body without a byte."""
    FIELDS = "fields"
    """A form without one field of its era."""
    JSON = "json"
    """Broken JSON."""
    SHAPE = "shape"
    """JSON, but no queue of events."""
    EVENT = "event"
    """An event without a version or a result."""
    SURPLUS = "surplus"
    """An event after the last that a queue may hold."""
    VERSION = "version"
    """A v1 version that is no NAME-CODE."""
    VERSION_CODE = "version_code"
    BUILD_NUMBER = "build_number"
    DURATION = "duration"
    BAN_COUNT = "ban_count"
    FLAG = "flag"
    """Neither true nor false."""
    TEXT = "text"
    """JSON of another type where text belongs."""


def decimal(text: str, most: int) -> int | None:
    """Read ASCII digits up to a bound; to Python "²" and "٣" are digits, too."""
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        return None
    number = int(text)
    return number if number <= most else None


class Form:
    """A form body, decoded field by field as it is asked for.

    Old apps sent it without URL-encoding and with nameless flags, so decoding
    changes what it can and leaves the rest. Of a repeated field the first
    usable value counts.
    """

    def __init__(self, body: bytes) -> None:
        """Split the body; nothing that is never asked for is decoded."""
        self._values: dict[bytes, list[bytes]] = {}
        for pair in body.split(b"&", _MOST_FIELDS)[:_MOST_FIELDS]:
            name, equals, value = pair.partition(b"=")
            if equals:
                self._values.setdefault(name, []).append(value[:_LONGEST_RAW])
        self.unusable: Counter[Reason] = Counter()

    def has(self, names: Sequence[bytes]) -> bool:
        """Tell whether one of the fields was sent."""
        return any(name in self._values for name in names)

    def first(self, name: bytes) -> str | None:
        """Return the first value, however empty."""
        return next(iter(self._decoded(name)), None)

    def text(self, name: bytes) -> str | None:
        """Return the first value that is not empty."""
        return next((value for value in self._decoded(name) if value), None)

    def number(self, name: bytes, reason: Reason, most: int = JAVA_INT_MAX) -> int | None:
        """Return the first value that is a number from 0 to `most`."""
        values = [value for value in self._decoded(name) if value]
        return self._first_usable([decimal(value, most) for value in values], reason)

    def flag(self, name: bytes) -> bool | None:
        """Return the first value that is ``true`` or ``false``."""
        values = [value for value in self._decoded(name) if value]
        return self._first_usable([_FLAGS.get(value) for value in values], Reason.FLAG)

    def version(self) -> tuple[str | None, int | None]:
        """Read v1's NAME-CODE from the right: a name may hold hyphens (``master-#258-62``).

        What is no NAME-CODE is the version ``unknown`` without a code.
        """
        values = [value for value in self._decoded(b"version") if value]
        for value in values:
            name, _, code = value.rpartition("-")
            number = decimal(code, JAVA_INT_MAX)
            if name and number is not None:
                return name, number
        if not values:
            return None, None
        if "unknown" not in values:
            self.unusable[Reason.VERSION] += 1
        return "unknown", None

    def _decoded(self, name: bytes) -> list[str]:
        return [
            unquote_to_bytes(value.replace(b"+", b" "))
            .decode("utf-8", "replace")
            .strip()[:LONGEST_VALUE]
            for value in self._values.get(name, ())
        ]

    def _first_usable(self, values: list[T | None], reason: Reason) -> T | None:
        usable = next((value for value in values if value is not None), None)
        if usable is None and values:
            self.unusable[reason] += 1
        return usable


class Record:
    """An object of a JSON report."""

    def __init__(self, values: Mapping[str, Any], unusable: Counter[Reason]) -> None:
        """Take the object, and where to count what can't be used."""
        self._values = values
        self._unusable = unusable

    def text(self, name: str) -> str | None:
        """Return a text that is not empty."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            return value.strip()[:LONGEST_VALUE] or None
        self._unusable[Reason.TEXT] += 1
        return None

    def number(self, name: str, reason: Reason, most: int = JAVA_INT_MAX) -> int | None:
        """Return a number from 0 to `most`, also one that came as text."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            value = decimal(value.strip(), most)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
            return value
        self._unusable[reason] += 1
        return None

    def flag(self, name: str) -> bool | None:
        """Return true or false, also one that came as text."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and value in _FLAGS:
            return _FLAGS[value]
        self._unusable[Reason.FLAG] += 1
        return None
