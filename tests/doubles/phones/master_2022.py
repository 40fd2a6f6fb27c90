"""The masters of 2022-11: updates come from GitHub, so all that is left are the reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime

from tests.doubles.phones import transport
from tests.doubles.phones.exchange import Exchange
from tests.doubles.phones.failures import ReportStuck
from tests.doubles.phones.phone import Phone
from tests.doubles.phones.reports import JSON, Need, event, events_body, form_body, timed_form
from tests.doubles.phones.transport import FORM

QUEUE_LIMIT = 100
"""Events that are kept; the oldest go first."""

FAILURES = 3
"""Tries after which the 2022-11-04 builds give up until the next connection."""


class Master20221102(Phone):
    """2022-11-02…04: the v2 form to wherever data.json points, which today is v3."""

    era = "2022-11-02"
    transport = transport.V76


class Master20221104(Phone):
    """2022-11-04…06: a queue of v2 forms, newest first; 2xx means delivered."""

    era = "2022-11-04"
    transport = transport.V76

    def __init__(
        self,
        exchange: Exchange,
        clock: IReactorTime,
        *,
        base: str = "http://mosmetro.example",
        route: str = "/api/v3/stats",
    ) -> None:
        """See `Phone`; `route` is where data.json points."""
        super().__init__(exchange, clock, base=base)
        self._route = route
        self.queue: list[int] = []
        """The times of the events, oldest first."""

    def connect(self, timestamp: int) -> None:
        """Remember an event."""
        self.queue = [*self.queue, timestamp][-QUEUE_LIMIT:]

    async def deliver(self) -> None:
        """Send the queue. Raises ReportStuck if something stays in it."""
        failures = 0
        for timestamp in sorted(self.queue, reverse=True):
            body = form_body(timed_form(timestamp))
            reply = await self._send("POST", self._route, body, FORM)
            if Need.ANY_2XX.met_by(reply.answer):
                self.queue.remove(timestamp)
                continue
            failures += 1
            if failures == FAILURES:
                break
        if self.queue:
            raise ReportStuck(f"{len(self.queue)} reports stay in the queue of {self.era}")


class Master20221106(Phone):
    """From 2022-11-06 on: the whole queue as one JSON body; 200 and nothing else means delivered.

    Until 2022-11-08 the fallback for its URL was that of v2.
    """

    era = "2022-11-06"
    transport = transport.MASTER_2023

    def __init__(
        self,
        exchange: Exchange,
        clock: IReactorTime,
        *,
        base: str = "http://mosmetro.example",
        route: str = "/api/v3/stats",
    ) -> None:
        """See `Phone`; `route` is ``/api/v2/stats`` for the fallback of the first two days."""
        super().__init__(exchange, clock, base=base)
        self._route = route
        self.queue: list[Mapping[str, Any]] = []

    def connect(self, timestamp: int, **result: Any) -> None:
        """Remember an event; keywords replace parts of its result."""
        self.queue = [*self.queue, event(timestamp, **result)][-QUEUE_LIMIT:]

    async def deliver(self) -> None:
        """Send the queue. Raises ReportStuck if it is not taken."""
        reply = await self._send("POST", self._route, events_body(self.queue), JSON)
        if not Need.EXACTLY_200.met_by(reply.answer):
            raise ReportStuck(
                f"status {reply.answer.status}: {len(self.queue)} events stay in the queue"
            )
        self.queue = []
