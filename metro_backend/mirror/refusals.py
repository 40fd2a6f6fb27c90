"""Remembers for a while which builds could not be had, so that a dead source is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime

from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import FillFailed

FIRST, LONGEST = 5.0, 300.0
"""Seconds for which a first failure stands, and a long row of them."""

LONGEST_ASKED = 3600.0
"""Seconds that a source may ask us to stay away for."""

MOST = 500
"""Builds that are remembered."""


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    artifact: Artifact
    failure: FillFailed
    until: float
    row: int


class Refusals:
    """One failure per build, with a growing back-off."""

    def __init__(self, clock: IReactorTime) -> None:
        """Take the clock."""
        self._clock = clock
        self._refusals: dict[str, _Refusal] = {}

    def note(self, artifact: Artifact, failure: FillFailed) -> None:
        """Remember a failure."""
        before = self._refusals.pop(artifact.identity, None)
        row = before.row + 1 if before else 0
        seconds = min(FIRST * 2 ** min(row, 10), LONGEST)
        seconds = max(seconds, min(failure.retry_after or 0.0, LONGEST_ASKED))
        # A copy: the original's traceback leads to all that took part.
        failure = type(failure)(failure.detail, failure.status, failure.retry_after)
        self._refusals[artifact.identity] = _Refusal(
            artifact=artifact, failure=failure, until=self._clock.seconds() + seconds, row=row
        )
        while len(self._refusals) > MOST:
            # The order is that of the failures: the oldest goes.
            del self._refusals[next(iter(self._refusals))]

    def forget(self, identity: str) -> None:
        """The build was had."""
        self._refusals.pop(identity, None)

    def standing(self, identity: str) -> FillFailed | None:
        """Return the failure that still stands."""
        refusal = self._refusals.get(identity)
        return refusal.failure if refusal and self.remaining(identity) > 0 else None

    def last(self, identity: str) -> FillFailed | None:
        """Return how the last try failed, even if it may be tried again; None after a success."""
        refusal = self._refusals.get(identity)
        return refusal.failure if refusal else None

    def remaining(self, identity: str) -> float:
        """Seconds until the build may be tried again."""
        refusal = self._refusals.get(identity)
        return max(0.0, refusal.until - self._clock.seconds()) if refusal else 0.0

    def status(self) -> list[dict[str, Any]]:
        """Return what stands, JSON-ready."""
        return [
            {
                "name": refusal.artifact.filename,
                "error": refusal.failure.detail,
                "failures": refusal.row + 1,
                "seconds": round(self.remaining(identity)),
            }
            for identity, refusal in self._refusals.items()
            if self.remaining(identity) > 0
        ]
