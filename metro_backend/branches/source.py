"""The seam between the catalogue and the places that branches come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred, FirstError, gatherResults

from metro_backend.branches.model import JAVA_INT_MAX, Branch

MESSAGE_LIMIT = 16_384
"""Characters of a message or description; the rest of a longer one is cut."""


@dataclass(eq=False)
class SourceError(Exception):
    """A source has not given a good answer, so nothing may be concluded from it."""

    reason: str
    retry_after: float | None = None
    """Seconds that the source asked us to wait."""

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A source's good answer: all its branches, and why some are as they are."""

    branches: Mapping[str, Branch]
    notes: Mapping[str, str] = field(default_factory=dict)
    """Per branch (or job that is none): a reason, for the status page."""
    partial: str | None = None
    """What could not be read, where a remembered or no branch stands in for it."""
    retry_after: float | None = None


class Source(Protocol):
    """One place that branches come from."""

    name: str
    required: str
    """The branch that a list must hold for phones' sake, if this source is on (contract §0, I3)."""

    async def read(self, previous: Mapping[str, Branch], only: str | None = None) -> Reading:
        """Ask for all branches, or just for the one that a notice names.

        Args:
            previous: this source's last branches; a branch that cannot be read
                now stands in for itself.
            only: a branch's name; the others are taken from `previous`.

        Raises:
            SourceError: if nothing may be concluded from the answer, or if it is
                partial and nothing stands in for what is missing.
        """


async def together(work: Iterable[Deferred[None]]) -> None:
    """Await all of them. If one fails, or this is cancelled, the others are cancelled as well.

    Raises:
        Exception: what the first failing one raised.
    """
    running = list(work)
    try:
        await gatherResults(running, consumeErrors=True)
    except FirstError as error:
        for each in running:
            each.cancel()
        error.subFailure.raiseException()


def item(value: Any, key: str, kind: type | tuple[type, ...], what: str) -> Any:
    """Return `value[key]` if it is of the kind. Raises ValueError naming `what` otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    found = value.get(key)
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is int):
        raise ValueError(f"{what}: {key!r} is missing or of the wrong type")
    return found


def text(value: Any) -> str | None:
    """Return clean text of bounded length, or None for anything that is not text.

    Lone surrogates and control characters would break the answers made of it.
    """
    if not isinstance(value, str):
        return None
    whole = value[:MESSAGE_LIMIT].encode("utf-8", "replace").decode("utf-8")
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "", whole)


def java_int(value: str | int) -> int | None:
    """Return the number if phones can read it: plain digits, at most 2³¹-1 (contract §0, I2)."""
    if isinstance(value, bool):
        return None
    digits = str(value)
    if not re.fullmatch(r"[0-9]{1,10}", digits) or int(digits) > JAVA_INT_MAX:
        return None
    return int(digits)
