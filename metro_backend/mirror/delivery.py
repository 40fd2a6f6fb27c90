"""Sends a part of a file to one reader, at that reader's pace."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from metro_backend.mirror.holding import Holding

BURST = 1024 * 1024
"""Bytes that one reader may be sent before the others have their turn."""

UNSENT = 128 * 1024
"""Bytes that the kernel may hold for a reader and not have sent yet."""

SMALLEST = 16 * 1024
LARGEST = 256 * 1024
LARGEST_PLAIN = 64 * 1024
"""Bytes of the file that are in the process for a slow reader, and for a fast one.

Larger pieces were slower: they leave the processor's cache before they are sent. Where the
kernel sends the file by itself, a piece only bridges the time until it takes more.
"""

QUICK, SLOW = 0.05, 1.0
"""Seconds in which a piece has drained that let the next one be larger or smaller."""

UNHURRIED = 10.0
"""Seconds that a response must have taken for its reader to count as slow."""

LINGER = 20.0
"""Seconds that the rest may take a slow reader once the response has ended."""

_NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)
_BYTES_ACKED = 120
"""Offset of tcpi_bytes_acked in struct tcp_info (linux/tcp.h, since Linux 4.1)."""


@implementer(IPushProducer)
class Delivery:
    """Writes the bytes from `start` to `stop` of a holding into a request, then finishes it.

    On plain TCP the kernel copies from the file to the socket, so a reader
    takes no memory here. That is only done while the transport has nothing of
    its own to send: it said so by `resumeProducing`, and nothing was written since.
    """

    def __init__(
        self,
        request: Request,
        holding: Holding,
        start: int,
        stop: int,
        seconds: Callable[[], float],
        ended: Callable[[Delivery, str | None], None],
    ) -> None:
        """Set up; `begin` starts.

        Args:
            ended: called once, with what went wrong on our side, if anything did.
        """
        self.holding = holding
        self._request = request
        self._offset = start
        self._start = start
        self._stop = stop
        self._seconds = seconds
        self._ended = ended
        self._paused = False
        self._drained = False
        self._over = False
        self._problem: str | None = None
        self._waiting: Deferred[None] | None = None
        self._piece = SMALLEST
        self._paused_at = self._began_at = self._moved_at = seconds()
        self._plain = _plain(request.transport)
        self._socket = _socket(request.transport)
        self._mark = self._progress()
        self._buffer_before = 0

    def begin(self) -> None:
        """Send."""
        if self._plain is not None:
            self._buffer_before = self._plain.bufferSize
            _limit_unsent(self._socket)
        self._request.notifyFinish().addBoth(self._finished)
        self._request.registerProducer(self, True)
        self._pump()

    def abort(self, problem: str | None = None) -> None:
        """Cut the connection, so that nobody takes what has been sent for the whole."""
        if self._over:
            return
        self._over = True
        self._problem = problem
        self._stop_waiting()
        transport: Any = self._request.transport
        if hasattr(transport, "abortConnection"):
            transport.abortConnection()
        else:
            self._request.unregisterProducer()
            self._request.loseConnection()

    def look(self, patience: float) -> bool:
        """Finish what has drained, and tell whether the reader has taken anything lately.

        Args:
            patience: seconds that a reader may take nothing, while there is something to take.
        """
        if self._over:
            return True
        now = self._seconds()
        progress = self._progress()
        if progress != self._mark or self._waiting is not None:
            self._mark, self._moved_at = progress, now
        if self._offset >= self._stop:
            self._finish()
        return now - self._moved_at < patience

    def pauseProducing(self) -> None:
        """Stop: the transport has enough."""
        self._paused = True
        self._paused_at = self._seconds()

    def resumeProducing(self) -> None:
        """Go on: the transport has handed everything to the kernel."""
        took = self._seconds() - self._paused_at
        if took < QUICK:
            self._piece = min(2 * self._piece, LARGEST_PLAIN if self._plain else LARGEST)
        elif took > SLOW:
            self._piece = max(self._piece // 2, SMALLEST)
        self._paused = False
        self._drained = True
        self._pump()

    def stopProducing(self) -> None:
        """Stop for good: the connection is gone."""
        self._over = True
        self._stop_waiting()

    def _pump(self) -> None:
        while not (self._paused or self._over or self._waiting is not None):
            if self._offset >= self._stop:
                self._finish()
                return
            reach = min(self.holding.available, self._stop)
            if reach <= self._offset:
                self._wait()
                return
            try:
                if self._drained and self._plain is not None and self._send(reach):
                    continue
                self._write(reach)
            except OSError as error:
                self.abort(f"cannot be read: {error.strerror}")

    def _send(self, reach: int) -> bool:
        """Have the kernel send up to `reach`; True if there is nothing to be written now."""
        assert self._plain is not None
        fd, file = self._plain.fileno(), self.holding.fileno()
        end = min(reach, self._offset + BURST)
        try:
            while self._offset < end:
                sent = os.sendfile(fd, file, self._offset, end - self._offset)
                if not sent:
                    raise OSError(errno.EIO, "it has become shorter")
                self._offset += sent
        except BlockingIOError:
            # The write that follows makes the transport tell when there is room again.
            return False
        except (BrokenPipeError, ConnectionError):
            self.abort()
            return True
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
            self._release_plain()
            return False
        return self._offset >= reach

    def _write(self, reach: int) -> None:
        if self._plain is not None:
            # A write of this much is to pause us. The transport bounds by it what it
            # receives at once, too, so it is put back in the end.
            self._plain.bufferSize = self._piece - 1
        size = min(self._piece, reach - self._offset)
        data = os.pread(self.holding.fileno(), size, self._offset)
        if not data:
            raise OSError(errno.EIO, "it has become shorter")
        self._offset += len(data)
        self._drained = False
        self._request.write(data)

    def _wait(self) -> None:
        if not self._request.startedWriting:
            # The headers go at once.
            self._request.write(b"")
        waiting = self._waiting = self.holding.wait(self._offset)
        waiting.addCallbacks(self._arrived, self._failed)

    def _arrived(self, _: None) -> None:
        self._waiting = None
        self._moved_at = self._seconds()
        self._pump()

    def _failed(self, failure: Failure) -> None:
        self._waiting = None
        if not self._over:
            self.abort(str(failure.value))

    def _finish(self) -> None:
        """End the response, unless the kernel still holds more than a slow reader takes soon.

        After the end the connection counts as idle, and is closed when its time is up.
        """
        if self._over or self._slow_rest():
            return
        self._over = True
        self._request.unregisterProducer()
        self._request.finish()

    def _slow_rest(self) -> bool:
        elapsed = self._seconds() - self._began_at
        if elapsed < UNHURRIED or self._socket is None:
            return False
        rest = _unacknowledged(self._socket)
        sent = max(1, self._offset - self._start - rest)
        return rest * elapsed > sent * LINGER

    def _finished(self, _: object) -> None:
        self._over = True
        self._stop_waiting()
        self._release_plain()
        self.holding.close()
        self._ended(self, self._problem)

    def _release_plain(self) -> None:
        plain, self._plain = self._plain, None
        if plain is not None:
            plain.bufferSize = self._buffer_before

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _progress(self) -> tuple[int, int]:
        return self._offset, _acknowledged(self._socket)


def _plain(transport: Any) -> Any:
    """Return the transport if a file can be sent to its socket as it is: plain TCP, on Linux."""
    suits = isinstance(transport, tcp.Connection) and not transport.TLS
    return transport if suits and sys.platform == "linux" else None


def _socket(transport: Any) -> socket.socket | None:
    """Find the socket below a transport, TLS or another wrapper included."""
    for _ in range(4):
        if isinstance(transport, tcp.Connection):
            return getattr(transport, "socket", None)
        transport = getattr(transport, "transport", None)
    return None


def _limit_unsent(sock: socket.socket | None) -> None:
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def _acknowledged(sock: socket.socket | None) -> int:
    """Return a number that changes whenever the reader's side has taken bytes.

    Nothing else shows that: a full socket is writable again only when a third
    of it is free, which takes a slow reader longer than our patience.
    """
    if sock is None:
        return 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        if len(info) == _BYTES_ACKED + 8:
            return int(struct.unpack_from("=Q", info, _BYTES_ACKED)[0])
    except (OSError, AttributeError):
        pass
    return -_unacknowledged(sock)


def _unacknowledged(sock: socket.socket) -> int:
    """Return the bytes that the kernel holds for the reader, sent or not."""
    try:
        size = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("=i", size)[0])
