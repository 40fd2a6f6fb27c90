"""Demands for a refresh, coalesced: one is carried out, and at most one waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metro_backend.branches.model import Snapshot

SPACING = 1.0
"""Seconds between the starts of two refreshes: a burst of notices costs two."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a refresh ended."""

    snapshot: Snapshot | None
    failures: Mapping[str, str]
    """Per failed source, why."""


@dataclass(kw_only=True)
class Order:
    """A refresh that is wanted."""

    only: Mapping[str, str | None] | None = None
    """Per source the one branch to ask for, or None for all of it; None asks every source.

    Sources whose time has come are asked in any case.
    """
    reset: set[str] = field(default_factory=set)
    """Branches whose number may go down this time."""
    waiters: list[Deferred[Outcome]] = field(default_factory=list)
    demanded: bool = True
    """Whether somebody asked for it, or only its time has come."""

    def absorb(self, other: Order) -> None:
        """Take another order's wishes over as well."""
        self.waiters += other.waiters
        self.reset |= other.reset
        if not other.demanded:
            # Sources whose time has come are asked by every order.
            return
        if not self.demanded:
            self.only, self.demanded = other.only, True
        elif self.only != other.only:
            self.only = None

    def answer(self, outcome: Outcome) -> None:
        """Tell everybody who waits and has not gone away."""
        for waiter in self.waiters:
            if not waiter.called:
                waiter.callback(outcome)


class Orders:
    """Carries orders out, one after the other and not too often."""

    def __init__(
        self, clock: IReactorTime, carry_out: Callable[[Order], Coroutine[Any, Any, None]]
    ) -> None:
        """Take what does the work; it must not raise."""
        self._clock = clock
        self._carry_out = carry_out
        self._work: Deferred[None] | None = None
        self._waiting: Order | None = None
        self._pause: IDelayedCall | None = None
        self._started_at = float("-inf")
        self._stopped = False

    @property
    def idle(self) -> bool:
        """Whether nothing is being carried out."""
        return self._work is None

    def place(self, order: Order) -> None:
        """Have the order carried out, alone or together with the one that waits."""
        if self._waiting is None:
            self._waiting = order
        else:
            self._waiting.absorb(order)
        self._next()

    def stop(self, outcome: Outcome) -> Deferred[None] | None:
        """Give everything up; return what fires when the work under way has ended."""
        self._stopped = True
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        if self._waiting is not None:
            self._waiting.answer(outcome)
        work = self._work
        if work is not None:
            work.cancel()
        return work

    def _next(self) -> None:
        if self._stopped or self._work is not None or self._waiting is None:
            return
        too_early = self._started_at + SPACING - self._clock.seconds()
        if too_early > 0:
            if self._pause is None or not self._pause.active():
                self._pause = self._clock.callLater(too_early, self._next)
            return
        order, self._waiting = self._waiting, None
        self._started_at = self._clock.seconds()
        self._work = Deferred.fromCoroutine(self._carry_out(order))
        self._work.addBoth(self._done)

    def _done(self, _: object) -> None:
        self._work = None
        self._next()
