"""``python -m bench.generator``: asks on kept-alive connections, at a rate or as fast as it goes.

Where wrk is to be had, it asks in place of this when the rate is not given:
this takes more time for a question than the server for its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import deque
from urllib.parse import urlsplit

_LATE = 5.0
"""Seconds that answers may take at the end."""


def request(method: str, url: str, body: bytes = b"") -> bytes:
    """Write a request."""
    parts = urlsplit(url)
    head = f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    if method == "POST":
        head += (
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        )
    return head.encode("ascii") + b"\r\n" + body


class Connection(asyncio.Protocol):
    """Asks one thing after the other."""

    def __init__(self, load: Load) -> None:
        """Take whom to tell."""
        self._load = load
        self._transport: asyncio.Transport
        self._head = b""
        self._body_left = -1
        self._due = 0.0
        self._timed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it: no server has a reason to close."""
        self._load.lost += 1

    def ask(self, what: bytes, due: float, *, timed: bool) -> None:
        """Ask something that was due at that time."""
        self._due, self._timed = due, timed
        self._transport.write(what)

    def data_received(self, data: bytes) -> None:
        """Read the answer, whose length must be told."""
        if self._body_left < 0:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            if head.split(b" ", 2)[1] != b"200":
                self._load.errors += 1
            self._body_left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        self._body_left -= len(data)
        if self._body_left == 0:
            self._body_left = -1
            self._load.answered(time.perf_counter() - self._due, timed=self._timed)
            self._load.free(self)

    def close(self) -> None:
        """End."""
        self._transport.abort()


class Load:
    """What is asked, when, and how long the answers took."""

    def __init__(self, questions: list[bytes], rate: float | None) -> None:
        """Take the questions, which are asked in turn; only answers to the first are timed."""
        self._questions = questions
        self._rate = rate
        self._free: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._asked = 0
        self._running = False
        self.seconds: list[float] = []
        """How long each timed answer took."""
        self.count = 0
        self.errors = 0
        self.lost = 0

    def free(self, connection: Connection) -> None:
        """Take a connection that has nothing to do."""
        self._free.append(connection)
        self._ask()

    def answered(self, seconds: float, *, timed: bool) -> None:
        """Note an answer."""
        self.count += 1
        if timed:
            self.seconds.append(seconds)

    async def run(self, seconds: float) -> float:
        """Ask for so long, and return how long it was."""
        self._running = True
        began = time.perf_counter()
        if self._rate is None:
            self._ask()
            await asyncio.sleep(seconds)
        else:
            for number in range(int(seconds * self._rate)):
                due = began + number / self._rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                # An answer that is late because the one before was late is late all the same.
                self._due.append(due)
                self._ask()
            end = time.perf_counter() + _LATE
            while self._due and time.perf_counter() < end:
                await asyncio.sleep(0.01)
            self.errors += len(self._due)
        self._running = False
        return time.perf_counter() - began

    def _ask(self) -> None:
        while self._running and self._free and (self._rate is None or self._due):
            due = time.perf_counter() if self._rate is None else self._due.popleft()
            turn = self._asked % len(self._questions)
            self._asked += 1
            self._free.popleft().ask(self._questions[turn], due, timed=turn == 0)


def percentile(values: list[float], part: float) -> float:
    """Return the value that so many in a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))]


async def _run() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("--report", default="", help="a URL that is sent a report in between")
    arguments.add_argument(
        "--body", default="", help="the report; POSTed to `url` if there is no other"
    )
    arguments.add_argument("--connections", type=int, required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument(
        "--rate", type=float, help="questions a second; all that go, if not given"
    )
    given = arguments.parse_args()
    body = given.body.encode()
    if given.report:
        questions = [request("GET", given.url), request("POST", given.report, body)]
    else:
        questions = [request("POST" if body else "GET", given.url, body)]
    load = Load(questions, given.rate)
    loop = asyncio.get_running_loop()
    parts = urlsplit(given.url)
    connections: list[Connection] = []
    for _ in range(given.connections):
        made = await loop.create_connection(lambda: Connection(load), parts.hostname, parts.port)
        connections.append(made[1])
    took = await load.run(given.seconds)
    lost = load.lost
    for connection in connections:
        connection.close()
    print(
        json.dumps(
            {
                "per_second": load.count / took,
                "errors": load.errors + lost,
                "median": percentile(load.seconds, 50),
                "p99": percentile(load.seconds, 99),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(_run())
