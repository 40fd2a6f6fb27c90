"""An endpoint with a Redis behind it that says what it is told to, on a Clock's time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from metro_backend.store.redis import RedisLocation, RedisStore
from tests.store.contract import LogLines

T = TypeVar("T")

STEP = 0.05
"""Seconds that pass at once."""

Reply = Callable[[list[bytes]], bytes | None]


def plain_reply(words: list[bytes]) -> bytes | None:
    """Answer as a Redis with nothing in it."""
    match words[0]:
        case b"PING":
            return b"+PONG\r\n"
        case b"GET":
            return b"$-1\r\n"
        case b"SUBSCRIBE":
            return b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(words[1]), words[1])
        case b"PUBLISH":
            return b":1\r\n"
    return b"+OK\r\n"


def silence(words: list[bytes]) -> bytes | None:
    """Answer nothing, as a Redis that hangs."""
    return None


@implementer(IStreamClientEndpoint)
class MemoryRedis:
    """Takes connections, or refuses them, or leaves them waiting."""

    def __init__(self, clock: Clock) -> None:
        """Start as a Redis that works."""
        self.clock = clock
        self.refuses = False
        self.stalls = False
        self.reply: Reply = plain_reply
        self.attempts: list[float] = []
        """When somebody tried to connect."""
        self.connections: list[MemoryConnection] = []
        self.commands: list[list[bytes]] = []

    @property
    def open(self) -> list[MemoryConnection]:
        """The connections that are not closed."""
        return [connection for connection in self.connections if not connection.closed]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect, refuse, or wait until cancelled."""
        self.attempts.append(self.clock.seconds())
        if self.refuses:
            return fail(ConnectionRefusedError())
        if self.stalls:
            # As HostnameEndpoint does, with an error of its own.
            return Deferred(lambda attempt: attempt.errback(ConnectError("cancelled")))
        protocol: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        connection = MemoryConnection(self, protocol)
        self.connections.append(connection)
        protocol.makeConnection(connection)
        return succeed(protocol)


class MemoryConnection:
    """The transport of one connection, and Redis' end of it."""

    disconnecting = False

    def __init__(self, redis: MemoryRedis, protocol: Any) -> None:
        """Take both ends."""
        self.closed = False
        self._redis = redis
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        """Take one command; txredisapi writes each at once."""
        words = data.split(b"\r\n")[2::2]
        self._redis.commands.append(words)
        reply = self._redis.reply(words)
        if reply is not None:
            self._redis.clock.callLater(0, self.say, reply)

    def say(self, data: bytes) -> None:
        """Send something to the client."""
        if not self.closed:
            self._protocol.dataReceived(data)

    def abortConnection(self) -> None:
        """Close the connection, in the next turn of the reactor as TCP does."""
        if not self.disconnecting:
            self.disconnecting = True
            self._redis.clock.callLater(0, self.lose)

    loseConnection = abortConnection

    def lose(self) -> None:
        """End the connection from Redis' side."""
        if not self.closed:
            self.closed = self.disconnecting = True
            self._protocol.connectionLost(Failure(ConnectionLost()))

    def pauseProducing(self) -> None:
        """Ignore it: nothing comes unasked."""

    resumeProducing = pauseProducing


class MemoryRedisTestCase(SynchronousTestCase):
    """A test with a Redis in memory."""

    location = "redis.example"

    def setUp(self) -> None:
        """Make a store on it; it is not started yet."""
        self.clock = Clock()
        self.memory = MemoryRedis(self.clock)
        self.counts: Counter[str] = Counter()
        self.log = LogLines()
        self.patch(RedisStore, "_log", Logger(observer=self.log))
        self.store = RedisStore(
            self.clock,
            RedisLocation.parse(self.location),
            self.count,
            lambda reactor, location: self.memory,
        )

    def count(self, name: str, count: int = 1) -> None:
        """Keep what is counted."""
        self.counts[name] += count

    def start(self) -> None:
        """Start the store and let it connect."""
        self.addCleanup(self.stop)
        self.store.service.startService()
        self.pass_time(STEP)

    def pass_time(self, seconds: float) -> None:
        """Let so many seconds pass in small steps."""
        self.clock.pump([STEP] * round(seconds / STEP))

    def ask(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Start a call."""
        return Deferred.fromCoroutine(work)

    def stop(self) -> None:
        """Stop the store, and check that it leaves nothing behind."""
        stopped = self.store.service.stopService()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.memory.open, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.store.waiting, 0)


def heard_nothing(message: bytes) -> None:
    """Subscribe to something whose messages do not matter."""
