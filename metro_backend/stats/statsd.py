"""Counters, gauges and timers for StatsD: added up in memory, sent once a second.

The names are those of txstatsd, which sent a datagram per event and installs
on no Python 3. Here an event costs a dictionary update, and a second sends
each name once. While StatsD can't be reached, what is counted is lost, and how
much that was is a counter, too.

The format: https://github.com/statsd/statsd/blob/master/docs/metric_types.md
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from metro_backend.log import Brake
from metro_backend.stats.datagrams import StatsDClientProtocol, TwistedStatsDClient
from metro_backend.stats.timers import Timers

__all__ = ["Connection", "Metrics", "StatsDClientProtocol", "TwistedStatsDClient"]

_log = Logger()

DATAGRAM = 1432
"""Bytes that fit into one Ethernet frame, by StatsD's own advice."""

FLUSHED_EVERY = 1.0
"""Seconds."""

MOST_NAMES = 5000
"""Names of each kind between two flushes."""

LOST = "server.statsd.lost"
"""Counts increments and measurements that did not leave."""

ERRORS = "server.statsd.errors"
"""Counts look-ups, ports and datagrams that failed."""

HELD = 10
"""Flushes that wait for an address before what they hold is given up."""

BURST = 16
"""Datagrams sent at once: more would run over the receiver's buffer."""

BURST_PAUSE = 0.02
"""Seconds between two bursts."""

MOST_WAITING = 1024
"""Datagrams waiting for their burst."""

_MOST = 10**15
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


class Connection(Protocol):
    """What datagrams leave through."""

    failures: int
    """How often something has gone wrong."""

    @property
    def ready(self) -> bool:
        """Whether a datagram could leave now."""

    def start(self) -> None:
        """Begin to get ready."""

    def stop(self) -> Deferred[None]:
        """End; fires when everything is closed."""

    def write(self, datagram: bytes) -> bool:
        """Send; tell whether it left. Never raises."""


class Metrics:
    """Counts, and sends what it has counted. Nothing here raises into a caller."""

    service: IService
    """Opens the way and flushes every second; at its stop it sends what is left."""

    def __init__(
        self,
        clock: IReactorTime,
        connection: Connection | None,
        prefix: str = "mosmetro",
        record: Callable[[Mapping[str, int]], None] | None = None,
    ) -> None:
        """Take the way to StatsD; None counts without sending.

        `prefix` goes before every name, with a dot. `record` is told each flush's
        counters, without the prefix.

        Raises:
            ValueError: if StatsD would not take the prefix.
        """
        if prefix and not _NAME.fullmatch(prefix):
            raise ValueError("a prefix is made of letters, digits, _ and -, with dots between")
        self.lost = 0
        """Increments and measurements that have not left."""
        self._clock = clock
        self._connection = connection
        self._prefix = f"{prefix}." if prefix else ""
        self._record = record
        self._counters: dict[str, int] = {}
        self._gauges: dict[str, float] = {}
        self._timers = Timers(MOST_NAMES)
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._burst: IDelayedCall | None = None
        self._held = 0
        self._told_lost = 0
        self._told_failures = 0
        self._brake = Brake(_log, clock)
        self.service = _Flushing(clock, self, connection)

    def increment(self, name: str, count: int = 1, sample_rate: float = 1) -> None:
        """Add to a counter.

        `sample_rate` is there for callers of txstatsd and changes nothing: where
        an event costs no datagram, there is nothing to save.
        """
        counters = self._counters
        if name in counters:
            counters[name] += count
        elif len(counters) < MOST_NAMES:
            counters[name] = count
        else:
            self.lost += abs(count)

    def decrement(self, name: str, count: int = 1, sample_rate: float = 1) -> None:
        """Take from a counter."""
        self.increment(name, -count)

    def meter(self, name: str, count: int = 1) -> None:
        """Count events; StatsD works out the rate of every counter by itself."""
        self.increment(name, count)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge; the last value before a flush is sent."""
        if abs(value) < _MOST and (name in self._gauges or len(self._gauges) < MOST_NAMES):
            self._gauges[name] = value
        else:
            self.lost += 1

    def timing(self, name: str, ms: float) -> None:
        """Add a measurement, in milliseconds, to a timer."""
        if not 0 <= ms < _MOST or not self._timers.add(name, ms):
            self.lost += 1

    def flush(self) -> None:
        """Send what has been counted since the last flush. Never raises."""
        try:
            self._flush()
        except Exception:
            self.increment(ERRORS)
            if self._brake.allow("flush") is not None:
                _log.failure("Counters could not be sent")

    def drain(self) -> None:
        """Send everything there is, at once. Never raises."""
        self._held = HELD
        self.flush()
        if self._burst is not None and self._burst.active():
            self._burst.cancel()
        while self._waiting:
            self._send_one()
        self._tell_losses()

    def _flush(self) -> None:
        connection = self._connection
        if connection is not None and not connection.ready and self._held < HELD:
            # The address is still being looked up: a short while need not cost anything.
            self._held += 1
            return
        self._held = 0
        self._tell_losses()
        counters, self._counters = self._counters, {}
        gauges, self._gauges = self._gauges, {}
        timers = self._timers.take()
        try:
            if self._record is not None:
                self._record(counters)
        finally:
            if connection is not None:
                self._pack(_lines(self._prefix, counters, gauges, timers))
                if self._burst is None or not self._burst.active():
                    self._send_burst()

    def _pack(self, lines: Iterable[tuple[str, int]]) -> None:
        """Put lines into as few datagrams as hold them whole."""
        packed: list[str] = []
        size = events = 0
        for line, weight in lines:
            if not line or len(line) > DATAGRAM:
                self.lost += weight
                continue
            if size + len(line) > DATAGRAM:
                self._wait(packed, events)
                packed, size, events = [], 0, 0
            packed.append(line)
            size += len(line) + 1
            events += weight
        if packed:
            self._wait(packed, events)

    def _wait(self, lines: list[str], events: int) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(("\n".join(lines).encode("ascii"), events))
        else:
            self.lost += events

    def _send_burst(self) -> None:
        for _ in range(min(BURST, len(self._waiting))):
            self._send_one()
        if self._waiting:
            self._burst = self._clock.callLater(BURST_PAUSE, self._send_burst)

    def _send_one(self) -> None:
        datagram, events = self._waiting.popleft()
        if self._connection is None or not self._connection.write(datagram):
            self.lost += events

    def _tell_losses(self) -> None:
        """Send what was lost and what failed in a datagram of its own, until one leaves."""
        connection = self._connection
        if connection is None:
            return
        lost, failures = self.lost, connection.failures
        news = {LOST: lost - self._told_lost, ERRORS: failures - self._told_failures}
        lines = "\n".join(line for line, _ in _lines(self._prefix, news, {}, ()))
        if lines and connection.write(lines.encode("ascii")):
            self._told_lost, self._told_failures = lost, failures


def _lines(
    prefix: str,
    counters: Mapping[str, int],
    gauges: Mapping[str, float],
    timers: Iterable[tuple[str, list[float], int]],
) -> Iterator[tuple[str, int]]:
    """Write each value as text that must stay together, with the number of events in it.

    The text is empty for a name that StatsD would not take.
    """
    for name, count in counters.items():
        if count:
            yield _line(name, f"{prefix}{name}:{count}|c"), abs(count)
    for name, value in gauges.items():
        text = f"{prefix}{name}:{_decimal(value)}|g"
        # With a sign it would be a change, so zero has to go before it.
        yield _line(name, f"{prefix}{name}:0|g\n{text}" if value < 0 else text), 1
    for name, kept, seen in timers:
        rate = "" if len(kept) == seen else f"|@{max(len(kept) / seen, 1e-6):.6f}"
        weight = seen - len(kept) + 1
        for value in kept:
            yield _line(name, f"{prefix}{name}:{_decimal(value)}|ms{rate}"), weight
            weight = 1


def _line(name: str, text: str) -> str:
    return text if _NAME.fullmatch(name) else ""


def _decimal(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


class _Flushing(Service):
    """The life of Metrics."""

    def __init__(
        self, clock: IReactorTime, metrics: Metrics, connection: Connection | None
    ) -> None:
        self._metrics = metrics
        self._connection = connection
        self._loop = LoopingCall(metrics.flush)
        self._loop.clock = clock

    def startService(self) -> None:
        super().startService()
        if self._connection is not None:
            self._connection.start()
        self._loop.start(FLUSHED_EVERY, now=False)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self._metrics.drain()
        return succeed(None) if self._connection is None else self._connection.stop()
