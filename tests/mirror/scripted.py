"""A source under the test's control, in memory; and what the mirror's tests share."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse
from zope.interface import implementer

from metro_backend.branches.model import Artifact
from metro_backend.hosts import AllowedHosts
from metro_backend.mirror.holding import Holding
from metro_backend.mirror.mirror import Mirror
from metro_backend.mirror.shelf import InThread, Shelf
from metro_backend.store.embedded import EmbeddedStore
from metro_backend.upstream import Upstream

NOW = 1_700_000_000.0
"""UTC Unix time at which tests begin."""

MODIFIED = 1_667_850_000


def apk(size: int, seed: int = 0) -> bytes:
    """Make bytes that begin like a ZIP file, and repeat nowhere near."""
    dice = random.Random(seed)
    block = dice.randbytes(min(size, 65_521))
    return (b"PK\x03\x04" + dice.randbytes(64) + block * (size // len(block) + 1))[:size]


def artifact(
    data: bytes | None = None, *, number: int = 77, branch: str = "play", **changes: Any
) -> Artifact:
    """Describe a build as GitHub would: with size and digest if `data` is given."""
    values: dict[str, Any] = {
        "branch": branch,
        "number": number,
        "filename": f"MosMetro-{branch}-v{number}.apk",
        "source": "github",
        "url": f"http://source.example/{branch}/{number}.apk",
        "size": None if data is None else len(data),
        "digest": None if data is None else "sha256:" + hashlib.sha256(data).hexdigest(),
        "modified": MODIFIED + number,
        "stamp": "1",
    }
    return Artifact(**{**values, **changes})


def read(holding: Holding) -> bytes:
    """Read what a holding has to give now."""
    return os.pread(holding.fileno(), holding.available, 0)


@dataclass
class Asked:
    """One request that reached the source, and the answer that the test gives."""

    url: str
    headers: Headers
    answered: Deferred[IResponse]
    response: Response | None = None

    def header(self, name: str) -> str | None:
        """Return a header of the request."""
        values = self.headers.getRawHeaders(name)
        return values[0] if values else None

    def answer(self, code: int = 200, length: int | None = None, **headers: str) -> Response:
        """Answer with headers; underscores in names stand for dashes."""
        raw = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        self.response = Response(code=code, headers=raw, length=UNKNOWN_LENGTH)
        if length is not None:
            self.response.length = length
        self.answered.callback(self.response)
        return self.response

    def refuse(self, error: Exception) -> None:
        """Do not answer."""
        self.answered.errback(error)


@implementer(IResponse)
@dataclass
class Response:
    """An answer whose body the test sends piece by piece."""

    code: int
    headers: Headers
    length: Any
    version: Any = (b"HTTP", 1, 1)
    phrase: bytes = b""
    request: Any = None
    previousResponse: Any = None
    closed: bool = False
    _protocol: Any = field(default=None)

    def setPreviousResponse(self, response: IResponse) -> None:
        """Not needed: redirects are followed above the agent."""

    def deliverBody(self, protocol: Any) -> None:
        """Take the receiver of the body."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def send(self, data: bytes) -> None:
        """Send a piece."""
        if not self.closed:
            self._protocol.dataReceived(data)

    def end(self) -> None:
        """Send the mark of the end: the last byte of Content-Length, or the last chunk."""
        self._lose(ResponseDone())

    def close(self) -> None:
        """Close the connection of an answer that has no other mark of its end."""
        self._lose(PotentialDataLoss())

    def cut(self) -> None:
        """Lose the connection in the middle."""
        self._lose(ResponseFailed([Failure(ConnectionError("reset"))]))

    def loseConnection(self) -> None:
        """The other side does not want more."""
        self.cut()

    def _lose(self, reason: Exception) -> None:
        if not self.closed:
            self.closed = True
            self._protocol.connectionLost(Failure(reason))


@implementer(IAgent)
class Source:
    """An agent whose requests wait for the test to answer them."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        """Note the request."""
        asked = Asked(uri.decode(), headers or Headers(), Deferred())
        self.asked.append(asked)
        return asked.answered

    @property
    def last(self) -> Asked:
        """The newest request."""
        return self.asked[-1]


class Bench:
    """A mirror on a directory, with a clock and a source that the test moves."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock | None = None,
        source: Source | None = None,
        agent: IAgent | None = None,
        quota: int = 2**30,
        ttl: float = 604800.0,
        keep: int = 3,
        free_floor: int | None = 0,
        size_limit: int = 2**20,
        credentials: Mapping[str, str] | None = None,
        in_thread: InThread | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.source = source or Source()
        self.counts: Counter[str] = Counter()
        self.directory = directory
        more = {} if in_thread is None else {"in_thread": in_thread}
        self.shelf = Shelf(
            directory,
            quota=quota,
            ttl=ttl,
            keep=keep,
            clock=self.clock,
            count=self.count,
            now=self.now,
            free_floor=free_floor,
            **more,
        )
        upstream = Upstream(
            agent or self.source,
            self.clock,
            EmbeddedStore(self.clock),
            AllowedHosts(["source.example", "127.0.0.1"]),
            self.count,
            now=self.now,
        )
        self.mirror = Mirror(
            self.clock,
            self.shelf,
            upstream,
            self.count,
            credentials=lambda artifact: credentials or {},
            size_limit=size_limit,
        )
        self.mirror.service.startService()

    def count(self, name: str, count: int = 1) -> None:
        """Count as the server does."""
        self.counts[name] += count

    def now(self) -> float:
        """UTC Unix time."""
        return NOW + self.clock.seconds()

    def open(self, artifact: Artifact) -> Deferred[Holding]:
        """Ask the mirror for a build."""
        return Deferred.fromCoroutine(self.mirror.open(artifact))

    def store(self, artifact: Artifact, data: bytes) -> None:
        """Have a build fetched at once."""
        opening = self.open(artifact)
        if not opening.called:
            response = self.source.last.answer(length=len(data))
            response.send(data)
            response.end()
        opening.addCallback(lambda holding: holding.close())

    def files(self, kind: str = "*/*") -> list[str]:
        """List what is on disk below the shelf's directory."""
        return sorted(str(p.relative_to(self.directory)) for p in self.directory.glob(kind))

    def again(self, **changes: Any) -> Bench:
        """Start another server on the same directory, with the same clock and source."""
        return Bench(self.directory, clock=self.clock, source=self.source, **changes)


class MirrorTestCase(SynchronousTestCase):
    """A test with a mirror in memory, on a directory of its own."""

    def setUp(self) -> None:
        """Start a mirror."""
        self.bench = self.start()

    def start(self, **changes: Any) -> Bench:
        """Start a mirror on a fresh directory."""
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        return Bench(directory, **changes)
