"""The store of several instances: Redis, as an optional comfort.

Importing this module installs Twisted's reactor, because txredisapi does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import txredisapi
from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from metro_backend.counting import Counting
from metro_backend.log import Brake
from metro_backend.store.interface import Lock
from metro_backend.store.link import DEADLINE, CommandProtocol, Link, RefusedError, Wary, describe
from metro_backend.store.location import RedisLocation
from metro_backend.store.topics import Topics

__all__ = ["RedisLocation", "RedisStore", "endpoint_of"]

PREFIX = "metro:"
"""Before each key and each channel: a Redis may have other tenants."""

CONNECT_DEADLINE = 2.0
"""Seconds that one attempt to connect may take."""

MOST_WAITING = 256
"""Commands that may wait for their answers; further ones are answered as if Redis were away."""

MOST_UNRELEASED = 16
"""Locks that could not be given back and are remembered for it."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of values that may wait with them."""

MOST_SECONDS = 10 * 365 * 86400
"""Seconds of the longest expiry."""

RELEASE = b"""\
if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end
return 0
"""
"""Deletes a lock only if the token in it is ours."""

AWAY: Any = object()
"""Stands for the reply of a Redis that gave none."""


def endpoint_of(reactor: Any, location: RedisLocation) -> IStreamClientEndpoint:
    """Make the endpoint for a location."""
    if location.path is not None:
        return UNIXClientEndpoint(reactor, location.path, timeout=CONNECT_DEADLINE)
    return HostnameEndpoint(reactor, location.host, location.port, timeout=CONNECT_DEADLINE)


class RedisStore:
    """Keeps everything in one Redis, and goes on without it.

    A Redis that does not answer within `DEADLINE` is cut off; from then on nobody
    waits for it, until it has answered a PING on a new connection. One is tried again
    and again, at most 4 s apart.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        location: RedisLocation,
        count: Counting,
        connect: Callable[[Any, RedisLocation], IStreamClientEndpoint] = endpoint_of,
        prefix: str = PREFIX,
    ) -> None:
        """Take the reactor to connect with; `connect` makes the endpoint. Connects when started."""
        self._clock = reactor
        self._prefix = prefix
        self._location = location
        self._count = count
        self._brake = Brake(self._log, reactor)
        self._topics = Topics(reactor)
        self._waiting = 0
        self._bytes = 0
        self._working = False
        self._news = True
        self._unreleased: list[tuple[bytes, bytes]] = []
        endpoint = connect(reactor, location)
        self._commands = Link(
            reactor, endpoint, _command_protocol, self._authenticate, self._commands_changed
        )
        self._messages = Link(
            reactor, endpoint, self._message_protocol, self._listen, self._connection_changed
        )
        services = MultiService()
        self._commands.setServiceParent(services)
        self._messages.setServiceParent(services)
        self.service: IService = services

    @property
    def available(self) -> bool:
        """Whether Redis is connected and the last command worked."""
        return self._working and self._commands.protocol is not None

    @property
    def waiting(self) -> int:
        """Commands that were sent and not answered yet."""
        return self._waiting

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none or Redis is away."""
        reply = await self._ask(lambda redis: redis.get(self._name(key)))
        return reply if isinstance(reply, bytes) else None

    async def set(self, key: str, value: bytes, seconds: float | None = None) -> None:
        """Keep the value, for so many seconds if given."""
        await self._ask(
            lambda redis: redis.set(self._name(key), value, pexpire=_milliseconds(seconds)),
            len(value),
        )

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keep the value if the key is new; tell whether it was (True when Redis is away)."""
        return await self._add(self._name(key), value, seconds)

    async def delete(self, key: str) -> None:
        """Forget the key."""
        await self._ask(lambda redis: redis.delete(self._name(key)))

    async def lock(self, name: str, seconds: float) -> Lock | None:
        """Take the lock for at most so many seconds; None if somebody else holds it.

        Without an answer the lock is granted: either it is not held, and releasing it
        does nothing, or only the answer was lost, and releasing it is right.
        """
        lock = _RedisLock(store=self, key=self._name(f"lock:{name}"), token=secrets.token_bytes(16))
        try:
            return lock if await self._add(lock.key, lock.token, seconds) else None
        except CancelledError:
            Deferred.fromCoroutine(lock.release())
            raise

    async def publish(self, topic: str, message: bytes) -> None:
        """Tell all instances, this one included; only this one while Redis is away."""
        reply = await self._ask(
            lambda redis: redis.publish(self._name(topic), message), len(message)
        )
        if reply is AWAY or self._messages.protocol is None:
            self._topics.deliver(topic, message)

    def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> None:
        """Call `receive` with each message on the topic, from the start of the service on.

        What others publish while the connection is lost is not heard.
        """
        redis = self._messages.protocol
        if self._topics.add(topic, receive) and redis is not None:
            maybeDeferred(redis.subscribe, [self._name(topic)]).addErrback(self._unheard)

    async def release(self, key: bytes, token: bytes) -> None:
        """Delete the lock if it holds this token."""
        reply = await self._ask(lambda redis: redis.eval(RELEASE, keys=[key], args=[token]))
        if reply is AWAY and len(self._unreleased) < MOST_UNRELEASED:
            # A Redis that only hung has taken the lock all the same, and keeps it till it expires.
            self._unreleased.append((key, token))

    async def _add(self, key: bytes, value: bytes, seconds: float) -> bool:
        reply = await self._ask(
            lambda redis: redis.set(
                key, value, pexpire=_milliseconds(seconds), only_if_not_exists=True
            ),
            len(value),
        )
        return reply is not None

    def _ask(self, command: Callable[[Any], Deferred[Any]], size: int = 0) -> Deferred[Any]:
        """Send a command; fires with the reply, or with `AWAY` within `DEADLINE` seconds.

        Cancelling takes nothing back, and the command goes on being watched: callers
        that lose patience must not hide a Redis that hangs.
        """
        answer: Deferred[Any] = Deferred()
        redis = self._commands.protocol
        if redis is None:
            self._count("server.store.away")
            answer.callback(AWAY)
            return answer
        if self._waiting >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            self._count("server.store.busy")
            answer.callback(AWAY)
            return answer
        self._waiting += 1
        self._bytes += size

        def settle(reply: Any) -> None:
            self._waiting -= 1
            self._bytes -= size
            self._working = not isinstance(reply, Failure)
            if isinstance(reply, Failure):
                self._judge(reply.value)
                reply = AWAY
            if not answer.called:
                answer.callback(reply)

        maybeDeferred(command, redis).addTimeout(DEADLINE, self._clock).addBoth(settle)
        return answer

    def _judge(self, error: BaseException | None) -> None:
        """Count a command that failed, and cut off a Redis that hangs."""
        if isinstance(error, TimeoutError):
            self._count("server.store.timeout")
            self._commands.cut(describe(error))
        elif isinstance(error, txredisapi.ConnectionError):
            self._count("server.store.lost")
        else:
            self._count("server.store.refused")
            self._warn("command", lambda: f"a command failed, {describe(error)}")

    def _warn(self, key: str, problem: Callable[[], str]) -> None:
        self._brake.warn(key, lambda: f"Redis at {self._location.address}: {problem()}")

    def _disconnected(self, reason: str) -> str:
        self._news = True
        return f"not connected, going on without it ({reason})"

    def _commands_changed(self, reason: str | None) -> None:
        self._working = reason is None
        if reason is None and self._news:
            # Only if the log says that it was away: one that comes and goes fills no log.
            self._news = False
            self._log.info("Redis at {address}: connected", address=self._location.address)
        self._connection_changed(reason)
        if reason is None:
            unreleased, self._unreleased = self._unreleased, []
            for key, token in unreleased:
                Deferred.fromCoroutine(self.release(key, token))

    def _connection_changed(self, reason: str | None) -> None:
        if reason is not None:
            self._count("server.store.disconnected")
            self._warn("connection", lambda: self._disconnected(reason))

    def _unheard(self, failure: Failure) -> None:
        # The next connection subscribes to everything.
        self._messages.cut(describe(failure.value))

    async def _authenticate(self, redis: Any) -> None:
        if self._location.password is not None:
            try:
                await redis.auth(self._location.password, self._location.username)
            except txredisapi.ResponseError as error:
                raise RefusedError(f"AUTH failed, {describe(error)}") from None
        await redis.ping()

    async def _listen(self, redis: Any) -> None:
        await self._authenticate(redis)
        heard: set[str] = set()
        # Until there are no new ones: others may subscribe while this waits.
        while new := [topic for topic in self._topics.names if topic not in heard]:
            # One by one: of a command with several channels txredisapi takes only the first
            # reply, and the others for the replies to whatever is asked next.
            await redis.subscribe([self._name(new[0])])
            heard.add(new[0])

    def _message_protocol(self) -> Any:
        return _MessageProtocol(self._topics, self._prefix)

    def _name(self, key: str) -> bytes:
        return f"{self._prefix}{key}".encode("ascii", "backslashreplace")


class _MessageProtocol(Wary, txredisapi.SubscriberProtocol):
    """Carries what is published."""

    def __init__(self, topics: Topics, prefix: str) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self._topics = topics
        self._prefix = prefix

    def messageReceived(self, pattern: object, channel: bytes, message: bytes) -> None:
        self._topics.deliver(channel.decode("ascii", "replace").removeprefix(self._prefix), message)


@dataclass(frozen=True, kw_only=True)
class _RedisLock:
    store: RedisStore
    key: bytes
    token: bytes
    """Tells our lock from the one that somebody else took after ours expired."""

    async def release(self) -> None:
        """Give the lock back, if it is still ours."""
        await self.store.release(self.key, self.token)


def _command_protocol() -> Any:
    return CommandProtocol(charset=None, convertNumbers=False)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(min(seconds, MOST_SECONDS) * 1000))
