"""The stand-in on a loopback port, as a service of the process that demonstrates the server."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Self, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import IResource
from twisted.web.server import Site

from metro_backend.demo.content import Content
from metro_backend.demo.standin import StandIn

BACKLOG = 128
"""Connections that may wait to be accepted."""


class _Channel(HTTPChannel):
    """A connection that its site can find again."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.factory.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.lost(self)


class _Site(Site):
    """Keeps no access log, and knows its connections."""

    noisy = False
    # HTTP/1 alone: what Site has here chooses between it and HTTP/2, which is not tracked.
    protocol = cast(Any, _Channel)

    def __init__(self, root: IResource, reactor: Any) -> None:
        super().__init__(root, reactor=reactor)
        self.channels: set[_Channel] = set()
        self._waiting: list[Deferred[None]] = []

    def log(self, request: Request) -> None:
        """Write nothing: the record of requests is the stand-in's."""

    def lost(self, channel: _Channel) -> None:
        """Note that a connection is gone."""
        self.channels.discard(channel)
        if not self.channels:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    async def abort(self) -> None:
        """Reset all connections, and return when the last one is gone."""
        gone = Deferred[None]()
        self._waiting.append(gone)
        for channel in list(self.channels):
            cast(ITCPTransport, channel.transport).abortConnection()
        if self.channels:
            await gone
        else:
            self._waiting.remove(gone)


class DemoService(Service):
    """Serves a `StandIn` at an address that is known before the start.

    The sources' settings need the address when the service tree is built, so the
    port is bound by `bind`, and connections to it wait until the service starts.
    """

    def __init__(self, reactor: Any, stand_in: StandIn, sockets: list[socket.socket]) -> None:
        """Take listening sockets of one port number. `bind` makes them."""
        self._reactor = reactor
        self.stand_in = stand_in
        self._sockets = sockets
        self._number: int = sockets[0].getsockname()[1]
        self._site = _Site(stand_in.resource(), reactor)
        self._ports: list[IListeningPort] = []

    @classmethod
    def bind(cls, reactor: Any, content: Content | None = None) -> Self:
        """Take a free port of the loopback interface.

        Raises:
            OSError: if there is none.
        """
        first = _listen(socket.AF_INET, "127.0.0.1", 0)
        sockets = [first]
        # Where localhost is ::1 before it is 127.0.0.1, this spares each client a detour.
        # Without IPv6, or with the number taken there, 127.0.0.1 does.
        with suppress(OSError):
            sockets.append(_listen(socket.AF_INET6, "::1", first.getsockname()[1]))
        return cls(reactor, StandIn(reactor, content), sockets)

    @property
    def url(self) -> str:
        """Base URL of GitHub's API and of Jenkins alike; no slash at the end."""
        return f"http://127.0.0.1:{self._number}"

    def startService(self) -> None:
        """Begin to answer."""
        super().startService()
        for each in self._sockets:
            self._ports.append(
                self._reactor.adoptStreamPort(each.fileno(), each.family, self._site)
            )
        self.close()

    def stopService(self) -> Deferred[None]:
        """Close the port and all connections; fires when they are closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def close(self) -> None:
        """Give up the sockets of a service that is not to be started (any more)."""
        for each in self._sockets:
            each.close()
        self._sockets = []

    async def _stop(self) -> None:
        self.close()
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)
        await self._site.abort()


def _listen(family: socket.AddressFamily, host: str, number: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, number))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made
