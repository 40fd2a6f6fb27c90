"""Sends an answer with the pace and the ending that are asked for."""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from metro_backend.demo.faults import Ending, Sending

CHUNK = 65536
"""Bytes that are written at once."""

TICK = 0.05
"""Seconds between two writes at a limited speed."""


@implementer(IPushProducer)
class Transmission:
    """One response on its way; ends quietly when the client leaves."""

    def __init__(self, request: Request, sending: Sending, clock: IReactorTime) -> None:
        """Take the request to answer; nothing is sent before `start`."""
        self._request = request
        self._sending = sending
        self._clock = clock
        body = sending.answer.body
        bodiless = request.method == b"HEAD" or sending.answer.status in (204, 304)
        self._body = b"" if bodiless else body
        stop = len(self._body) if sending.stop is None else sending.stop
        self._end = min(stop, len(self._body))
        self._sent = 0
        self._paused = False
        self._over = False
        self._call: IDelayedCall | None = None
        self._owed = 0.0
        self._since = 0.0

    def start(self) -> None:
        """Send the headers, then the body."""
        request, sending, answer = self._request, self._sending, self._sending.answer
        request.notifyFinish().addBoth(self._left)
        if sending.silent:
            self._conclude()
            return
        request.setResponseCode(answer.status)
        for name, value in answer.headers.items():
            request.setHeader(name, value)
        if not sending.chunked and answer.status not in (204, 304):
            length = max(0, len(answer.body) + sending.excess)
            request.setHeader("Content-Length", str(length))
        request.registerProducer(self, True)
        request.write(b"")
        self._since = self._clock.seconds()
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """Go on; called when the client has read enough of what was sent."""
        self._paused = False
        if self._sending.rate is None:
            self._fill()
        elif self._call is None and not self._over:
            # A client that did not read has no claim on the time that passed.
            self._since = self._clock.seconds()
            self._call = self._clock.callLater(0 if self._done else TICK, self._tick)

    def pauseProducing(self) -> None:
        """Wait for `resumeProducing`."""
        self._paused = True
        self._cancel()

    def stopProducing(self) -> None:
        """Give up; called when the connection is gone."""
        self._over = True
        self._cancel()

    @property
    def _done(self) -> bool:
        return self._sent >= self._end

    def _fill(self) -> None:
        while not (self._done or self._paused or self._over):
            self._write(CHUNK)
        if self._done:
            self._conclude()

    def _tick(self) -> None:
        self._call = None
        now = self._clock.seconds()
        self._owed += (self._sending.rate or 0.0) * (now - self._since)
        self._since = now
        allowed = int(self._owed)
        self._owed -= allowed
        while allowed > 0 and not (self._done or self._over):
            # What is owed goes out even if the transport says pause meanwhile: it is bounded.
            allowed -= self._write(min(CHUNK, allowed))
        if self._done:
            self._conclude()
        elif not (self._paused or self._over):
            self._call = self._clock.callLater(TICK, self._tick)

    def _write(self, most: int) -> int:
        chunk = self._body[self._sent : min(self._sent + most, self._end)]
        self._sent += len(chunk)
        self._request.write(chunk)
        return len(chunk)

    def _conclude(self) -> None:
        if self._over:
            return
        self._over = True
        request, ending = self._request, self._sending.ending
        if ending is Ending.HANG:
            return
        if not self._sending.silent:
            request.unregisterProducer()
        if ending is Ending.FINISH:
            request.finish()
        elif ending is Ending.CLOSE:
            request.channel.loseConnection()
        else:
            cast(ITCPTransport, request.channel.transport).abortConnection()

    def _cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _left(self, _: Failure | None) -> None:
        self.stopProducing()
