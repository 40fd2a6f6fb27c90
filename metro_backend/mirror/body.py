"""Receives a source's answer, and watches that it keeps coming."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

STALL = 30.0
"""Seconds without a byte after which a connection is given up."""


class Cut(Exception):
    """The connection ended before the body did; the rest may be had by another one."""

    retry_after: float | None = None
    """Seconds that the source asked us to wait."""


class Body(Protocol):
    """Hands each piece of a body on as it comes."""

    def __init__(self, clock: IReactorTime, receive: Callable[[bytes], None]) -> None:
        """Take what is to be called with each piece; what it raises ends the body."""
        self._clock = clock
        self._receive = receive
        self._over = False
        self._stall = clock.callLater(STALL, self._stalled)
        self.done: Deferred[bool] = Deferred(lambda _: self._close())
        """Fires at the end with whether the source marked it; fails with Cut or what was raised."""

    def dataReceived(self, data: bytes) -> None:
        """Hand the piece on."""
        if self._over:
            return
        self._stall.reset(STALL)
        try:
            self._receive(data)
        except Exception:
            self._fail(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See whether this was the end of the body."""
        if self._over:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self._over = True
            self._stall.cancel()
            self.done.callback(reason.check(ResponseDone) is not None)
        else:
            self._fail(Failure(Cut("the connection was cut")))

    def _stalled(self) -> None:
        self._fail(Failure(Cut(f"nothing has come for {STALL:g} s")))

    def _fail(self, failure: Failure) -> None:
        self._close()
        self.done.errback(failure)

    def _close(self) -> None:
        self._over = True
        if self._stall.active():
            self._stall.cancel()
        # Twisted's body transport has no abortConnection; with nothing left
        # to be written, loseConnection closes at once.
        if self.transport is not None:
            self.transport.loseConnection()
