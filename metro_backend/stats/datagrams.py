"""The way to StatsD: an unconnected UDP port, and an address that is looked up again and again.

A connected port is closed for ever by the first ICMP refusal (Twisted #5377),
and an address that is resolved only once is wrong when the container has been
restarted. Nothing here raises into a caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorTime,
    IReactorUDP,
    IResolutionReceiver,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from metro_backend.log import Brake

_log = Logger()

STATSD_PORT = 8125

LOOKED_UP_EVERY = 60.0
"""Seconds for which an address is believed, and the longest pause between two tries."""

ANSWERED_WITHIN = 30.0
"""Seconds after which a look-up is given up."""

SUSPECTED_FOR = 5.0
"""Seconds until the address is looked up again after a datagram could not leave."""

_FIRST_PAUSE = 1.0


class StatsDClientProtocol(DatagramProtocol):
    """Tells the client when its port opens and closes."""

    def __init__(self, client: TwistedStatsDClient) -> None:
        """Take the client that sends through the port."""
        self.client = client
        self._opened: IUDPTransport | None = None

    def startProtocol(self) -> None:
        """Hand the open port to the client."""
        assert self.transport is not None
        self._opened = self.transport
        self.client.connect(self.transport)

    def stopProtocol(self) -> None:
        """Take the closed port, of which the base class knows no more, from the client."""
        if self._opened is not None:
            self.client.disconnect(self._opened)


@implementer(IResolutionReceiver)
class _Answer:
    """Collects the addresses of one look-up."""

    def __init__(self, complete: Callable[[list[str]], None]) -> None:
        self._complete = complete
        self._hosts: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        if isinstance(address, (IPv4Address, IPv6Address)):
            self._hosts.append(address.host)

    def resolutionComplete(self) -> None:
        self._complete(self._hosts)


class TwistedStatsDClient:
    """Sends datagrams to a StatsD that may be away, or not where it was a minute ago."""

    def __init__(
        self,
        udp: IReactorUDP,
        clock: IReactorTime,
        resolver: IHostnameResolver,
        host: str,
        port: int = STATSD_PORT,
    ) -> None:
        """Take what opens ports, waits and looks up names (a reactor, thrice), and the place."""
        self.host = host
        self.port = port
        self.address: str | None = None
        """The IP address that the host had when it was last found."""
        self.failures = 0
        """Look-ups, ports and datagrams that failed."""
        self.error: str | None = None
        """What failed last; None if the last datagram left."""
        self._udp = udp
        self._clock = clock
        self._resolver = resolver
        self._brake = Brake(_log, clock)
        self._running = False
        self._listening: IListeningPort | None = None
        self._transport: IUDPTransport | None = None
        self._closing: list[Deferred[Any]] = []
        self._next: IDelayedCall | None = None
        self._pause = _FIRST_PAUSE

    @property
    def ready(self) -> bool:
        """Whether there are an address and an open port."""
        return self.address is not None and self._transport is not None

    def start(self) -> None:
        """Begin to look up the host."""
        self._running = True
        self._look_up()

    def stop(self) -> Deferred[None]:
        """Close the port; fires when it is closed."""
        self._running = False
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._close()
        closing, self._closing = self._closing, []
        closed = DeferredList(closing, consumeErrors=True)
        return closed.addCallback(lambda _: None)

    def connect(self, transport: IUDPTransport) -> None:
        """Send through this transport from now on."""
        self._transport = transport

    def disconnect(self, transport: IUDPTransport) -> None:
        """Stop sending through this transport; it may have been replaced already."""
        if transport is self._transport:
            self._transport = None
            self._listening = None
            if self._running:
                self._again(_FIRST_PAUSE)

    def write(self, datagram: bytes) -> bool:
        """Send a datagram; tell whether it left. Never raises.

        That it left says nothing about its arrival.
        """
        if self._transport is None or self.address is None:
            return False
        try:
            self._transport.write(datagram, (self.address, self.port))
        except Exception as error:
            # EACCES, ENETUNREACH, EAGAIN from a full buffer, a socket that is gone: all one to us.
            self._fail(f"{type(error).__name__}: {error}")
            if self._next is not None and self._next.getTime() - self._clock.seconds() > (
                SUSPECTED_FOR
            ):
                self._again(SUSPECTED_FOR)
            return False
        self.error = None
        return True

    def _look_up(self) -> None:
        if isIPAddress(self.host) or isIPv6Address(self.host):
            self._found(self.host)
            return
        self._again(ANSWERED_WITHIN, self._unanswered)
        try:
            self._resolver.resolveHostName(
                _Answer(self._answered), self.host, self.port, transportSemantics="UDP"
            )
        except Exception as error:
            self._retry(f"{self.host}: {type(error).__name__}")

    def _unanswered(self) -> None:
        self._retry(f"{self.host}: no answer within {ANSWERED_WITHIN:g} s")

    def _answered(self, hosts: list[str]) -> None:
        # A late answer is as good as any, unless we have stopped.
        if not self._running:
            return
        if hosts:
            self._found(next(filter(isIPAddress, hosts), hosts[0]))
        else:
            self._retry(f"{self.host}: no such host")

    def _found(self, address: str) -> None:
        try:
            self._open(address)
        except Exception as error:
            self._retry(f"no port: {error}")
            return
        self.address = address
        self._pause = _FIRST_PAUSE
        self._again(LOOKED_UP_EVERY)

    def _open(self, address: str) -> None:
        """Open a port of the address's family, unless it is open."""
        known = self.address is not None and isIPv6Address(self.address)
        if self._listening is not None and known == isIPv6Address(address):
            return
        self._close()
        interface = "::" if isIPv6Address(address) else ""
        self._listening = self._udp.listenUDP(0, StatsDClientProtocol(self), interface, 8192)

    def _close(self) -> None:
        listening, self._listening, self._transport = self._listening, None, None
        if listening is not None:
            self._closing = [each for each in self._closing if not each.called]
            self._closing.append(maybeDeferred(listening.stopListening))

    def _retry(self, error: str) -> None:
        """Go on with the last good address, and try again later and later."""
        self._fail(error)
        self._again(self._pause)
        self._pause = min(2 * self._pause, LOOKED_UP_EVERY)

    def _again(self, seconds: float, call: Callable[[], None] | None = None) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = self._clock.callLater(seconds, call or self._look_up)

    def _fail(self, error: str) -> None:
        self.failures += 1
        self.error = error
        if self._brake.allow("datagram") is not None:
            _log.warn("StatsD can't be reached: {error}", error=error)
