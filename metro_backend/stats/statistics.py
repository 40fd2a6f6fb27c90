"""What the API tells about each request, turned into counters.

Every method returns at once and never raises: whatever a phone sends, and
whatever is the matter with the store or StatsD, its answer is the same.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metro_backend.log import Brake
from metro_backend.stats.counters import UPDATE_CHECK, Vocabulary, counts_of, download_name
from metro_backend.stats.events import Events
from metro_backend.stats.gate import Field, Gate
from metro_backend.stats.reports import Era, Reason, Report, read_report
from metro_backend.stats.statsd import ERRORS, LOST, Metrics
from metro_backend.store import Store

_log = Logger()

MOST_IN_FLIGHT = 1000
"""Events that may wait for the store; one more is counted without asking."""

_RENEWED_EVERY = 5.0
_FOLDED = "server.stats.folded."
_FAILED = "server.stats.failed"
_UNASKED = "server.stats.unasked"
_OWN_NAMES = frozenset(
    {ERRORS, LOST, UPDATE_CHECK, _FAILED, _UNASKED, _FOLDED + "names"}
    | {_FOLDED + each.title for each in Field}
)


class Statistics:
    """Counts reports, downloads and update checks under bounded names."""

    def __init__(
        self,
        clock: IReactorTime,
        metrics: Metrics,
        store: Store,
        vocabulary: Callable[[], Vocabulary],
        max_names: int = 2000,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take what counts, what remembers events, and what tells the published versions.

        `max_names` bounds the distinct names of an hour; `now` is the UTC Unix time.
        """
        self.in_flight = 0
        """Events that wait for the store."""
        self._clock = clock
        self._metrics = metrics
        self._events = Events(clock, store)
        self._vocabulary = vocabulary
        self._now = now
        self._gate = Gate(max_names, self._fold, _OWN_NAMES)
        self._words = Vocabulary(branches=frozenset(), versions=frozenset())
        self._renew_at = clock.seconds()
        self._brake = Brake(_log, clock)

    def report(self, era: Era, body: bytes, host: str) -> None:
        """Count a report that came through an era's door; `host` is the Host header's value.

        A report counts wholly, or once as ``report.rejected.REASON``. Events of a
        queue count when the store has said that they are new.
        """
        try:
            self._renew()
            reading = read_report(era, body)
            identified = [each for each in reading.reports if each.identity is not None]
            for report in reading.reports:
                if report.identity is None:
                    self._add(report, host)
            if identified:
                self._add_identified(identified, host)
            self._count_reasons("rejected", reading.rejected)
            self._count_reasons("unusable", reading.unusable)
        except Exception as error:
            self._failed(error)

    def download(self, branch: str, number: int) -> None:
        """Count a download of a branch's build; the number is the one that phones compare."""
        try:
            self._renew()
            self._metrics.increment(download_name(branch, number, self._gate))
        except Exception as error:
            self._failed(error)

    def update_check(self) -> None:
        """Count a question for the branches."""
        self.count(UPDATE_CHECK)

    def count(self, name: str, count: int = 1) -> None:
        """Count an event of the server's own, under a constant name (the `Counting` seam)."""
        try:
            self._renew()
            self._metrics.increment(self._gate.admit_own(name), count)
        except Exception as error:
            self._failed(error)

    def _renew(self) -> None:
        """Let the gate know the time and the vocabulary, now and then."""
        seconds = self._clock.seconds()
        if 0 < self._renew_at - seconds <= _RENEWED_EVERY:
            return
        self._renew_at = seconds + _RENEWED_EVERY
        try:
            self._words = self._vocabulary()
        except Exception as error:
            self._failed(error)
        self._gate.renew(self._now(), self._words)

    def _add(self, report: Report, host: str) -> None:
        try:
            # All names first: whatever goes wrong must do so before anything is counted.
            counts = counts_of(report, host, self._gate)
        except Exception as error:
            self._failed(error)
            return
        for name in counts.counters:
            self._metrics.increment(name)
        if counts.duration is not None:
            for name in counts.timers:
                self._metrics.timing(name, counts.duration)

    def _add_identified(self, reports: Sequence[Report], host: str) -> None:
        """Count the events that are new, without letting the phone wait for the store."""
        asked = reports[: max(0, MOST_IN_FLIGHT - self.in_flight)]
        unasked = reports[len(asked) :]
        if unasked:
            self._metrics.increment(_UNASKED, len(unasked))
        for report in unasked:
            self._add(report, host)
        self.in_flight += len(asked)
        Deferred.fromCoroutine(self._add_new(asked, host))

    async def _add_new(self, reports: Sequence[Report], host: str) -> None:
        for report in reports:
            if await self._is_new(report):
                self._add(report, host)
            self.in_flight -= 1

    async def _is_new(self, report: Report) -> bool:
        try:
            return report.identity is None or await self._events.is_new(report.identity)
        except Exception as error:
            # CancelledError, too: nobody cancels this, only the store its own calls when it stops.
            self._failed(error)
            return True

    def _count_reasons(self, kind: str, reasons: Mapping[Reason, int]) -> None:
        for reason, count in reasons.items():
            name = self._gate.admit_own(f"report.{kind}.{reason.value}")
            self._metrics.increment(name, count)

    def _fold(self, title: str) -> None:
        self._metrics.increment(_FOLDED + title)

    def _failed(self, error: Exception) -> None:
        """Account for an exception that no caller may see."""
        self._metrics.increment(_FAILED)
        if self._brake.allow("statistics") is not None:
            # An exception may quote what a phone said, so only its kind and place are logged.
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.error(
                "Something could not be counted: {kind} in {file}, line {line}",
                kind=type(error).__name__,
                file=place.filename,
                line=place.lineno,
            )
