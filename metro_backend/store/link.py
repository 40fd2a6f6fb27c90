"""One connection to Redis that comes back by itself.

It is also the breaker: what cannot be reached, or does not answer in time, is cut off
and not asked again until it has answered a PING on a new connection.

Of txredisapi only the protocols are used, not the pool: while Redis is away the pool
keeps each command waiting and never forgets it, and with a password it gives up for
ever when a connection is lost during AUTH (txredisapi #126). Twisted's ClientService,
below that pool, logs a traceback when a connection is lost while it is still being
prepared, and a line for each attempt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

import txredisapi
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

DEADLINE = 1.0
"""Seconds that Redis has for an answer."""

PING = 5.0
"""Seconds between two questions whether a connection is still alive."""

DELAYS = (0.1, 1.0, 2.0, 3.0)
"""Seconds to wait after the first, second … failure in a row; it must be back within 5 s."""

STEADY = 5.0
"""Seconds after which a connection that held is forgiven its predecessors."""


class RefusedError(Exception):
    """Redis answered, but will not let us in."""


class Wary:
    """Mixed into txredisapi's protocols: tells of its end, and survives bytes of no Redis."""

    transport: Any

    def __init__(self, **options: Any) -> None:
        """Take the options of the txredisapi protocol."""
        super().__init__(**options)
        # Fire when the connection is gone and each command has failed. Two, because each
        # Deferred has one waiter.
        self.lost: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, why: Failure) -> None:
        """Fail what waits for an answer."""
        super().connectionLost(why)  # type: ignore[misc]
        self.lost.callback(None)
        self.gone.callback(None)

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Hand on what came."""
        try:
            super().dataReceived(data, unpause)  # type: ignore[misc]
        except Exception:
            self.transport.abortConnection()


class CommandProtocol(Wary, txredisapi.RedisProtocol):
    """Carries commands and their answers."""


class Link(Service):
    """Keeps one connection to Redis open, from the start of the service to its stop."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        build: Callable[[], Any],
        greet: Callable[[Any], Coroutine[Any, Any, None]],
        changed: Callable[[str | None], None],
    ) -> None:
        """Take what a connection is made of.

        Args:
            clock: for deadlines and delays.
            endpoint: where to connect to; cancelling an attempt must end it.
            build: makes a txredisapi protocol that is `Wary`, without a password.
            greet: makes a new connection usable and has an answer of Redis for it,
                within `DEADLINE`, or raises.
            changed: called with None when the connection has become usable, and with
                the reason each time that it was lost or could not be made.
        """
        self._clock = clock
        self._endpoint = endpoint
        self._build = build
        self._greet = greet
        self._changed = changed
        self._protocol: Any = None
        self._failures = 0
        self._cut: str | None = None
        self._life: Deferred[None] = succeed(None)

    @property
    def protocol(self) -> Any:
        """The protocol to give commands to; None while Redis is away."""
        return self._protocol

    def startService(self) -> None:
        """Start connecting."""
        super().startService()
        self._failures = 0
        self._life = Deferred.fromCoroutine(self._live())

    def stopService(self) -> Deferred[None]:
        """Close the connection; fires when it is closed."""
        super().stopService()
        life, self._life = self._life, succeed(None)
        life.addErrback(_ignore_cancellation)
        life.cancel()
        return life

    def cut(self, reason: str) -> None:
        """Give the connection up at once, and wait at least a second before the next one."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self._cut = reason
            protocol.transport.abortConnection()

    async def _live(self) -> None:
        while self.running:
            try:
                reason = await self._connection()
            except CancelledError:
                raise
            except Exception as error:
                reason = describe(error)
            # A cancelled attempt to connect fails with an error of the endpoint's own.
            if not self.running:
                return
            self._tell(reason)
            delay = DELAYS[min(self._failures, len(DELAYS) - 1)]
            self._failures += 1
            # Instances that lost Redis together should not come back at the same moment.
            await deferLater(self._clock, delay * random.uniform(1.0, 1.2), bool)  # noqa: S311

    async def _connection(self) -> str:
        """Connect; return or raise when the connection is gone, with the reason."""
        self._cut = None
        # The endpoint has its own time limit. One from here would not end a slow name
        # look-up, but leave its thread behind and start another.
        protocol: Any = await self._endpoint.connect(_LinkFactory(self._clock, self._build))
        ping = LoopingCall(self._ping, protocol)
        ping.clock = self._clock
        try:
            if ITCPTransport.providedBy(protocol.transport):
                protocol.transport.setTcpNoDelay(True)
            await Deferred.fromCoroutine(self._greet(protocol)).addTimeout(DEADLINE, self._clock)
            self._protocol = protocol
            since = self._clock.seconds()
            self._tell(None)
            ping.start(PING, now=False)
            await protocol.lost
            if self._clock.seconds() - since >= STEADY:
                self._failures = 0
        finally:
            self._protocol = None
            if ping.running:
                ping.stop()
            # Unlike a close, this does not wait for a server that reads nothing.
            protocol.transport.abortConnection()
            await protocol.gone
        if self._cut is None:
            return "the connection was lost"
        self._failures += 1
        return self._cut

    async def _ping(self, protocol: Any) -> None:
        try:
            await protocol.ping().addTimeout(DEADLINE, self._clock)
        except CancelledError:
            raise
        except Exception as error:
            if protocol is self._protocol:
                self.cut(describe(error))

    def _tell(self, reason: str | None) -> None:
        try:
            self._changed(reason)
        except Exception:
            self._log.failure("a change of the connection to Redis could not be told")


class _LinkFactory(Factory):
    noisy = False

    def __init__(self, clock: IReactorTime, build: Callable[[], Any]) -> None:
        self._clock = clock
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> Any:
        protocol = self._build()
        protocol.factory = self
        # txredisapi would take the global reactor's.
        protocol.callLater = self._clock.callLater
        return protocol


def describe(error: BaseException | None) -> str:
    """Say for the log why Redis is away.

    Of Redis' own errors only the first word is told: the rest may quote the
    arguments of a command, a password among them.
    """
    if isinstance(error, TimeoutError):
        return f"no answer within {DEADLINE:g} s"
    if isinstance(error, txredisapi.ResponseError):
        return f"it refuses: {(str(error).split() or ['?'])[0][:32]}"
    return str(error) or type(error).__name__


def _ignore_cancellation(failure: Failure) -> None:
    failure.trap(CancelledError)
