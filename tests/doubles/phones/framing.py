"""A strict reader of one HTTP/1.x answer (RFC 9112): what a lenient client forgives is an error."""

from __future__ import annotations

import re
from collections.abc import Generator

from twisted.web.http_headers import Headers

from tests.doubles.phones.answers import Answer
from tests.doubles.phones.failures import MalformedAnswer, PhoneCutOff

LINE_LIMIT = 16 * 1024
"""Bytes of a status line, a header or a chunk size."""

HEADER_LIMIT = 200
"""Headers, or trailers, of one answer."""

BODY_LIMIT = 256 * 1024 * 1024
"""Bytes of a body: no test sends more, a runaway server would."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [\t\x20-\x7e\x80-\xff]*")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?")

Steps = Generator[None, None, None]


class AnswerReader:
    """Is fed what arrives; has the answer in `answer` as soon as that is whole."""

    def __init__(self, *, method: str, version: str, stop_after: int | None = None) -> None:
        """Take what was asked, and after how many body bytes the phone hangs up by itself."""
        self._method = method
        self._version = version
        self._stop_after = stop_after
        self._buffer = bytearray()
        self._body = bytearray()
        self._closed = False
        self._steps = self._read()
        self.answer: Answer | None = None
        next(self._steps)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises MalformedAnswer."""
        self._buffer += data
        self._go_on()

    def end(self) -> Answer:
        """Take the end of the connection and return the answer.

        Raises PhoneCutOff if the answer is not whole, MalformedAnswer if it is not one.
        """
        self._closed = True
        self._go_on()
        if self.answer is None:
            raise PhoneCutOff("the connection ended before the answer did")
        return self.answer

    def _go_on(self) -> None:
        if self.answer is None:
            next(self._steps, None)
        if self.answer is not None and self.answer.complete and self._buffer:
            raise MalformedAnswer(f"{len(self._buffer)} bytes after the end of the answer")

    def _more(self) -> Steps:
        if self._closed:
            raise PhoneCutOff("the connection ended before the answer did")
        yield

    def _line(self) -> Generator[None, None, bytes]:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > LINE_LIMIT:
                raise MalformedAnswer("an endless line")
            yield from self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _fields(self) -> Generator[None, None, Headers]:
        headers = Headers()
        for _ in range(HEADER_LIMIT):
            line = yield from self._line()
            if not line:
                return headers
            match = _HEADER.fullmatch(line)
            if match is None:
                raise MalformedAnswer(f"not a header: {line!r}")
            headers.addRawHeader(match[1], match[2].rstrip(b" \t"))
        raise MalformedAnswer(f"more than {HEADER_LIMIT} headers")

    def _take(self, size: int) -> Steps:
        """Move so many bytes to the body."""
        if len(self._body) + size > BODY_LIMIT:
            raise MalformedAnswer(f"a body of more than {BODY_LIMIT} bytes")
        while size and not self._enough():
            part = self._buffer[:size]
            self._body += part
            del self._buffer[: len(part)]
            size -= len(part)
            if size and not self._enough():
                yield from self._more()

    def _enough(self) -> bool:
        return self._stop_after is not None and len(self._body) >= self._stop_after

    def _read(self) -> Steps:
        yield
        status, headers = 100, Headers()
        while status < 200:
            line = yield from self._line()
            match = _STATUS.fullmatch(line)
            if match is None or match[1] == b"101":
                raise MalformedAnswer(f"not a status line: {line!r}")
            status = int(match[1])
            headers = yield from self._fields()
        yield from self._read_body(status, headers)
        complete = not self._enough()
        body = bytes(self._body if complete else self._body[: self._stop_after])
        self.answer = Answer(status=status, headers=headers, body=body, complete=complete)

    def _read_body(self, status: int, headers: Headers) -> Steps:
        length = self._length(headers)
        chunked = self._chunked(headers)
        if chunked and length is not None:
            raise MalformedAnswer("both Content-Length and Transfer-Encoding")
        if status == 204 and (chunked or length is not None):
            raise MalformedAnswer("a 204 that announces a body")
        if self._method == "HEAD" or status in (204, 304):
            return
        if chunked:
            yield from self._chunks()
        elif length is not None:
            yield from self._take(length)
        else:
            # No length at all: the end of the connection is the end of the body.
            while not (self._closed or self._enough()):
                yield from self._take(len(self._buffer))
                if not self._enough():
                    yield
            yield from self._take(len(self._buffer))

    def _chunks(self) -> Steps:
        while not self._enough():
            line = yield from self._line()
            match = _CHUNK.fullmatch(line)
            if match is None:
                raise MalformedAnswer(f"not a chunk size: {line[:40]!r}")
            size = int(match[1], 16)
            if not size:
                yield from self._fields()
                return
            yield from self._take(size)
            if not self._enough() and (yield from self._line()):
                raise MalformedAnswer("a chunk longer than it says")

    def _length(self, headers: Headers) -> int | None:
        values = headers.getRawHeaders(b"Content-Length")
        if values is None:
            return None
        if len(values) > 1 or re.fullmatch(rb"[0-9]{1,18}", values[0]) is None:
            raise MalformedAnswer(f"Content-Length: {values!r}")
        return int(values[0])

    def _chunked(self, headers: Headers) -> bool:
        values = headers.getRawHeaders(b"Transfer-Encoding")
        if values is None:
            return False
        if [value.lower() for value in values] != [b"chunked"]:
            raise MalformedAnswer(f"Transfer-Encoding: {values!r}")
        if self._version == "HTTP/1.0":
            raise MalformedAnswer("chunks for a client that speaks HTTP/1.0")
        return True
