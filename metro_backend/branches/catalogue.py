"""The catalogue: keeps one complete snapshot, refreshes it in the background, never loses it.

Nobody ever waits for a source: a question is answered from the snapshot in
memory, and the snapshot is replaced when a refresh has come to a good end.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from metro_backend.branches.archive import Archive
from metro_backend.branches.merge import Rules, held_back, merge, never_lower, new_builds, settle
from metro_backend.branches.model import Artifact, Branch, Snapshot, SourceState
from metro_backend.branches.orders import Order, Orders, Outcome
from metro_backend.branches.schedule import Schedule
from metro_backend.branches.source import Reading, Source, SourceError, together
from metro_backend.counting import Counting
from metro_backend.log import Brake
from metro_backend.store import Lock
from metro_backend.waiting import Waiters

LOCK_SECONDS = 60.0
"""When the lock of a dead instance frees itself. A refresh that takes longer may be doubled."""

LOCK_RETRY = 1.0
"""Seconds between tries for a lock that another instance holds."""

LOCK_PATIENCE = 180.0
"""Seconds for which a demanded refresh waits for other instances' ones."""

READ_DEADLINE = 120.0
"""Seconds that all of a source's answers may take together."""

RETRY_AFTER = 5
"""Seconds after which a client that got no list should ask again."""

FRESH = 60.0
"""Seconds for which a list from before a restart needs no refresh at once."""

POLL = 5.0
"""Seconds between looks into the store, for when a message between instances was lost."""


Prepare = Callable[[Sequence[Artifact]], Awaitable[Collection[str]]]
"""Fetches new builds before they are published; returns the file names that proved bad."""


class Catalogue(Service):
    """The list of branches, as the whole server sees it."""

    _log = Logger()
    name = "catalogue"

    def __init__(
        self,
        *,
        clock: IReactorTime,
        sources: Sequence[Source],
        archive: Archive,
        rules: Rules,
        ttl: float,
        count: Counting,
        prepare: Prepare,
        now: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """Take the sources; `ttl` is in seconds, `spread` yields 0…1 for the jitter."""
        self._clock = clock
        self._brake = Brake(self._log, clock)
        self._sources = {source.name: source for source in sources}
        self._archive = archive
        self._rules = rules
        self._count = count
        self._prepare = prepare
        self._now = now
        self._states: dict[str, SourceState] = {}
        self._schedules = {name: Schedule(ttl=ttl, spread=spread) for name in self._sources}
        self._orders = Orders(clock, self._carry_out)
        self._timer: IDelayedCall | None = None
        self._first = Waiters(clock)
        self._listeners: list[Callable[[Snapshot], None]] = []
        self.snapshot: Snapshot | None = None

    # -- what others ask ------------------------------------------------------------------

    def on_change(self, listener: Callable[[Snapshot], None]) -> None:
        """Call the listener with each new snapshot."""
        self._listeners.append(listener)

    async def first(self, seconds: float) -> Snapshot | None:
        """Return the snapshot, waiting for the very first one for at most so many seconds."""
        if self.snapshot is None:
            await self._first.wait(seconds)
        return self.snapshot

    def refresh(self, reset: Collection[str] = ()) -> Deferred[Outcome]:
        """Ask every source now; coalesced: one refresh runs, and at most one waits.

        The number of the branches in `reset` may go down this time.
        """
        waiter: Deferred[Outcome] = Deferred(lambda _: None)
        self._orders.place(Order(reset=set(reset), waiters=[waiter]))
        return waiter

    def notice(self, source: str, branch: str | None = None) -> None:
        """Ask a source soon, because somebody says that it has something new."""
        if source in self._sources:
            self._orders.place(Order(only={source: branch}))

    def plan(self) -> Mapping[str, Mapping[str, Any]]:
        """Return per source when it is asked next (UTC Unix time) and its row of failures."""
        ahead = self._now() - self._clock.seconds()
        return {
            name: {"next_refresh": each.due_at + ahead, "failures": each.failures}
            for name, each in self._schedules.items()
        }

    @property
    def source_errors(self) -> Mapping[str, str]:
        """Per source that has never answered well, why."""
        return {name: each.error for name, each in self._schedules.items() if each.error}

    # -- life -----------------------------------------------------------------------------

    def startService(self) -> None:
        """Take up the last list, and start to keep it fresh."""
        super().startService()
        self._adopt(self._remerged(self._archive.load()))
        for name, state in self._states.items():
            if self._now() - state.succeeded_at > FRESH:
                self._schedules[name].due_at = 0.0
        self._archive.watch(self._look)
        self._timer = self._clock.callLater(0, self._tick)

    def stopService(self) -> Deferred[None] | None:
        """Stop refreshing; a refresh under way is given up."""
        super().stopService()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self._orders.stop(Outcome(snapshot=self.snapshot, failures={}))

    def _tick(self) -> None:
        """Look around: is a source due, has another instance a newer list?"""
        if not self.running:
            return
        self._look()
        if self._orders.idle and self._due():
            self._orders.place(Order(demanded=False))
        next_due = min(each.due_at for each in self._schedules.values()) - self._clock.seconds()
        self._timer = self._clock.callLater(min(max(next_due, 0.5), POLL), self._tick)

    def _look(self) -> None:
        """Take a newer list from the store, in the background."""
        Deferred.fromCoroutine(self._take_newer()).addErrback(
            lambda failure: self._log.failure("looking into the store", failure)
        )

    async def _take_newer(self) -> None:
        foreign = await self._archive.newer(self.snapshot)
        if foreign is None or self.snapshot is None:
            self._adopt(foreign)
            return
        mended = never_lower(foreign, self.snapshot)
        ours = self._remerged(replace(mended, taken_at=self._now()))
        if mended is foreign or ours is None:
            self._adopt(foreign)
        else:
            self._adopt(ours)
            # Whoever published the lower numbers has to hear of the higher ones.
            await self._archive.save(ours)

    def _due(self) -> list[str]:
        now = self._clock.seconds()
        return [name for name, schedule in self._schedules.items() if schedule.due_at <= now]

    # -- refreshing -----------------------------------------------------------------------

    async def _carry_out(self, order: Order) -> None:
        failures: dict[str, str] = {}
        try:
            lock = await self._lock(patient=order.demanded)
            if lock is None:
                self._count("server.catalogue.locked")
                if order.demanded:
                    failures = dict.fromkeys(self._sources, "another instance asks for too long")
            else:
                try:
                    # The instance that had the lock before may have left something newer.
                    await self._take_newer()
                    failures = await self._refresh(order)
                finally:
                    await lock.release()
        except CancelledError:
            pass
        except Exception:
            self._log.failure("a refresh failed")
            failures = dict.fromkeys(self._sources, "an error of the server's own; see its log")
        order.answer(Outcome(snapshot=self.snapshot, failures=failures))

    async def _lock(self, *, patient: bool) -> Lock | None:
        """Take the lock; a patient one waits for another instance's refresh to end."""
        lock = await self._archive.lock(LOCK_SECONDS)
        until = self._clock.seconds() + LOCK_PATIENCE
        while lock is None and patient and self._clock.seconds() < until:
            await deferLater(self._clock, LOCK_RETRY, lambda: None)
            lock = await self._archive.lock(LOCK_SECONDS)
        return lock

    async def _refresh(self, order: Order) -> dict[str, str]:
        wanted: dict[str, str | None] = {}
        if order.demanded:
            wanted |= dict.fromkeys(self._sources) if order.only is None else order.only
        wanted |= dict.fromkeys(self._due())
        failures: dict[str, str] = {}

        async def ask(name: str, branch: str | None) -> None:
            error = await self._ask(name, branch, order.reset)
            if error is not None:
                failures[name] = error

        await together(Deferred.fromCoroutine(ask(name, branch)) for name, branch in wanted.items())
        return {**failures, **await self._publish(order.reset)}

    async def _ask(self, name: str, branch: str | None, reset: Collection[str]) -> str | None:
        """Ask one source; return why it failed, or None."""
        source, schedule = self._sources[name], self._schedules[name]
        known = self._branches_of(name)
        error: str | None
        retry_after: float | None
        try:
            reading = await self._read(source, known, branch)
            # Another instance's newer list may have come meanwhile, and counts here.
            branches, notes = settle(source, reading, self._branches_of(name), reset)
            error, retry_after = reading.partial, reading.retry_after
        except SourceError as failed:
            error, retry_after = failed.reason, failed.retry_after
            state = self._states.get(name)
            if state is not None:
                self._states[name] = replace(state, error=error, failed_at=self._now())
        else:
            state = self._states.get(name)
            if state is not None and branch is not None and error is None:
                # One branch says nothing of how the others are.
                self._states[name] = replace(state, branches=branches)
                return None
            self._states[name] = SourceState(
                branches=branches,
                succeeded_at=state.succeeded_at if error and state else self._now(),
                error=error,
                failed_at=self._now() if error else None,
                notes=notes,
            )
        now = self._clock.seconds()
        if error is None:
            schedule.succeeded(now)
            return None
        schedule.failed(now, error, retry_after, cold=self.snapshot is None)
        self._count(f"server.catalogue.{name}.failed")
        self._brake.warn(name, lambda: f"{name} failed: {error}")
        return error

    def _branches_of(self, name: str) -> Mapping[str, Branch]:
        state = self._states.get(name)
        return state.branches if state else {}

    async def _read(
        self, source: Source, previous: Mapping[str, Branch], branch: str | None
    ) -> Reading:
        reading = Deferred.fromCoroutine(source.read(previous, branch))
        try:
            return await reading.addTimeout(READ_DEADLINE, self._clock)
        except TimeoutError:
            raise SourceError(f"no complete answer within {READ_DEADLINE:g} s") from None

    async def _publish(self, reset: Collection[str]) -> dict[str, str]:
        """Make a snapshot of what is known, if it is complete, and let everybody have it.

        Returns per source why a build of it is held back, if one is.
        """
        if set(self._states) != set(self._sources):
            return {}
        held = {}
        if self.snapshot is not None:
            held = await self._hold_back_bad_builds(self.snapshot)
        before, states = self.snapshot, dict(self._states)
        branches, beta = merge(states, self._rules)
        changed = before is None or dict(before.branches) != branches or before.beta != beta
        now = self._now()
        snapshot = Snapshot(
            branches=branches,
            beta=beta,
            sources=states,
            changed_at=int(now) if changed or before is None else before.changed_at,
            taken_at=now,
            resets={**(before.resets if before else {}), **dict.fromkeys(reset, now)},
        )
        self._adopt(snapshot)
        await self._archive.save(snapshot)
        if changed:
            self._log.info(
                "new list: {branches}",
                branches=", ".join(f"{name} {each.number}" for name, each in branches.items()),
            )
        return held

    async def _hold_back_bad_builds(self, before: Snapshot) -> dict[str, str]:
        """Have new builds fetched before phones hear of them; those that prove bad stay unknown.

        Their source is asked again soon: a file may come later than what announces it.
        """
        held: dict[str, str] = {}
        new = new_builds(self._states, before)
        bad = await self._prepare([branch.artifact for branch in new]) if new else ()
        for branch in new:
            source = branch.artifact.source
            state = self._states[source]
            # While it was fetched, another instance's list may have taken its place.
            if branch.artifact.filename in bad and state.branches.get(branch.name) is branch:
                assert self.snapshot is not None
                self._states[source] = held_back(state, branch, self.snapshot.sources[source])
                held[source] = (
                    f"{branch.artifact.filename} is not what the source says, or not there"
                )
                now = self._clock.seconds()
                self._schedules[source].failed(now, held[source], None, cold=False)
        return held

    def _remerged(self, snapshot: Snapshot | None) -> Snapshot | None:
        """Apply our rules to a list that was made under others, or whose sources were mended."""
        if snapshot is None or set(snapshot.sources) != set(self._sources):
            return None
        branches, beta = merge(snapshot.sources, self._rules)
        if branches == snapshot.branches and beta == snapshot.beta:
            return snapshot
        return replace(snapshot, branches=branches, beta=beta, changed_at=int(self._now()))

    def _adopt(self, snapshot: Snapshot | None) -> None:
        """Make the snapshot the current one, if there is one and it fits our sources."""
        if snapshot is None or set(snapshot.sources) != set(self._sources):
            return
        for name, state in snapshot.sources.items():
            mine = self._states.get(name)
            if state.error is None and (mine is None or state.succeeded_at > mine.succeeded_at):
                # What another instance has just confirmed need not be asked again yet.
                age = max(0.0, self._now() - state.succeeded_at)
                self._schedules[name].succeeded(self._clock.seconds() - age)
        self._states = dict(snapshot.sources)
        self.snapshot = snapshot
        self._first.fire()
        for listener in self._listeners:
            try:
                listener(snapshot)
            except Exception:
                self._log.failure("a listener failed on a new list")
