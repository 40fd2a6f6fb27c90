"""The store of a deployment with one instance: a dictionary with limits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from twisted.application.service import IService, Service
from twisted.internet.interfaces import IReactorTime

from metro_backend.store.interface import Lock
from metro_backend.store.topics import Topics

ENTRY = 256
"""Bytes that an entry takes beside its key and its value, roughly."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    value: bytes
    size: int
    ends: float
    """The clock's seconds at which it is forgotten."""


class EmbeddedStore:
    """Keeps everything in this process, up to so many bytes; the least recently used goes first."""

    def __init__(self, clock: IReactorTime, limit: int = 32 * 1024 * 1024) -> None:
        """Take the clock that expiry goes by, and the limit in bytes."""
        self.service: IService = Service()
        self._clock = clock
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._locks: dict[str, _EmbeddedLock] = {}
        self._topics = Topics(clock)

    @property
    def available(self) -> bool:
        """Always true: it is here."""
        return True

    @property
    def size(self) -> int:
        """Bytes in use, the overhead of entries among them."""
        return self._size

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ends <= self._clock.seconds():
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def set(self, key: str, value: bytes, seconds: float | None = None) -> None:
        """Keep the value, for so many seconds if given, unless it alone is over the limit."""
        self._forget(key)
        size = len(key) + len(value) + ENTRY
        if size > self._limit:
            return
        ends = float("inf") if seconds is None else self._clock.seconds() + seconds
        self._entries[key] = _Entry(value=bytes(value), size=size, ends=ends)
        self._size += size
        while self._size > self._limit:
            self._forget(next(iter(self._entries)))

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keep the value if the key is new; tell whether it was."""
        if await self.get(key) is not None:
            return False
        await self.set(key, value, seconds)
        return True

    async def delete(self, key: str) -> None:
        """Forget the key."""
        self._forget(key)

    async def lock(self, name: str, seconds: float) -> Lock | None:
        """Take the lock for at most so many seconds; None if somebody else holds it."""
        now = self._clock.seconds()
        self._locks = {held: lock for held, lock in self._locks.items() if lock.ends > now}
        if name in self._locks:
            return None
        lock = _EmbeddedLock(ends=now + seconds, give_back=lambda: self._give_back(name, lock))
        self._locks[name] = lock
        return lock

    async def publish(self, topic: str, message: bytes) -> None:
        """Tell this process' subscribers; they have been told when this returns."""
        self._topics.deliver(topic, message)

    def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> None:
        """Call `receive` with each message on the topic."""
        self._topics.add(topic, receive)

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size

    def _give_back(self, name: str, lock: _EmbeddedLock) -> None:
        if self._locks.get(name) is lock:
            del self._locks[name]


@dataclass(frozen=True, kw_only=True, eq=False)
class _EmbeddedLock:
    ends: float
    give_back: Callable[[], None]

    async def release(self) -> None:
        """Give the lock back, if it is still ours."""
        self.give_back()
