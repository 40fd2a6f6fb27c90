"""A StatsD that listens on a real port of the loopback and takes nothing malformed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol

LONGEST_DATAGRAM = 1432

_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)"
    r":(?P<value>[+-]?[0-9]+(?:\.[0-9]+)?)"
    r"\|(?P<kind>c|g|ms)"
    r"(?:\|@(?P<rate>[01](?:\.[0-9]+)?))?"
)


class MalformedError(ValueError):
    """A datagram that StatsD would misunderstand."""


class StatsDListener(DatagramProtocol):
    """Collects what it is sent.

    A malformed datagram is kept in `malformed` and raises in `datagramReceived`,
    which Twisted logs: the trial test during which it came fails.
    """

    def __init__(self, prefix: str = "mosmetro.") -> None:
        """Take the prefix that every name must have, and that is left out below."""
        self.prefix = prefix
        self.datagrams: list[bytes] = []
        self.malformed: list[bytes] = []
        self.lines: list[str] = []
        self.counters: dict[str, float] = defaultdict(float)
        """The sum of each counter, extrapolated where it was sampled."""
        self.gauges: dict[str, float] = {}
        self.timers: dict[str, list[float]] = defaultdict(list)
        """Every measurement of each timer, in milliseconds."""
        self.measured: dict[str, float] = defaultdict(float)
        """How many measurements each timer stands for, its sample rate considered."""
        self._listening: IListeningPort | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def start(self, udp: IReactorUDP, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen, on a free port unless told which."""
        self._listening = udp.listenUDP(port, self, host, LONGEST_DATAGRAM * 4)

    async def stop(self) -> None:
        """Stop listening; the port then refuses what is sent."""
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
            self._listening = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._listening is not None
        return cast(IPv4Address, self._listening.getHost()).port

    @property
    def names(self) -> set[str]:
        """All distinct names so far."""
        return {*self.counters, *self.gauges, *self.timers}

    def totals(self) -> dict[str, int]:
        """Return the sum of each counter."""
        return {name: round(total) for name, total in self.counters.items()}

    async def until(
        self, condition: Callable[[], bool], clock: IReactorTime, seconds: float = 10.0
    ) -> None:
        """Wait until the condition holds, looking after each datagram.

        Raises:
            TimeoutError: if it doesn't within so many seconds.
        """
        if not condition():
            waiter: Deferred[None] = Deferred()
            self._waiting.append((condition, waiter))
            await waiter.addTimeout(seconds, clock)

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """Take a datagram apart. Raises MalformedError."""
        self.datagrams.append(datagram)
        try:
            self._take(datagram)
        except ValueError:
            self.malformed.append(datagram)
            raise
        waiting, self._waiting = self._waiting, []
        for condition, waiter in waiting:
            if waiter.called:
                continue
            if condition():
                waiter.callback(None)
            else:
                self._waiting.append((condition, waiter))

    def _take(self, datagram: bytes) -> None:
        if len(datagram) > LONGEST_DATAGRAM:
            raise MalformedError(f"{len(datagram)} bytes")
        for line in datagram.decode("ascii").split("\n"):
            match = _LINE.fullmatch(line)
            if match is None or not line.startswith(self.prefix):
                raise MalformedError(repr(line))
            name, value = match["name"].removeprefix(self.prefix), match["value"]
            rate = float(match["rate"] or 1)
            if not 0 < rate <= 1:
                raise MalformedError(repr(line))
            self.lines.append(line)
            if match["kind"] == "c":
                self.counters[name] += float(value) / rate
            elif match["kind"] == "ms":
                self.timers[name].append(float(value))
                self.measured[name] += 1 / rate
            else:
                change = value[0] in "+-"
                self.gauges[name] = (self.gauges.get(name, 0.0) if change else 0.0) + float(value)
