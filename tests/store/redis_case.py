"""A test with a real Redis, and any number of stores on it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from metro_backend.store.redis import RedisLocation, RedisStore
from tests.doubles.redis_server import RedisServer
from tests.store import contract

reactor: Any = global_reactor


class RedisTestCase(contract.StoreTestCase):
    """A test that has a Redis, and may have any number of stores on it."""

    redis: RedisStore
    password: str | None = None
    unix = False

    async def setUp(self) -> None:  # type: ignore[override]
        """Start a Redis and a store on it."""
        self.counts: Counter[str] = Counter()
        self.log = contract.LogLines()
        self.patch(RedisStore, "_log", Logger(observer=self.log))
        self.server = RedisServer(self, self.password, self.unix)
        await self.server.start()
        self.redis = await self.connected_store()

    def count(self, name: str, count: int = 1) -> None:
        """Keep what is counted."""
        self.counts[name] += count

    def another_store(self, url: str | None = None) -> RedisStore:
        """Start another store, as another instance would have it."""
        store = RedisStore(reactor, RedisLocation.parse(url or self.server.url), self.count)
        store.service.startService()
        self.addCleanup(store.service.stopService)
        return store

    async def connected_store(self, url: str | None = None) -> RedisStore:
        """Start another store, and wait until it is connected."""
        store = self.another_store(url)
        await self.connection(store)
        return store

    async def connection(self, store: RedisStore) -> None:
        """Wait until both connections of the store are there."""

        async def connected() -> bool:
            return store.available and store._messages.protocol is not None

        await self.eventually(connected)

    async def rest(self) -> None:
        """Let the reactor and Redis work."""
        await deferLater(reactor, 0.01, bool)

    def now(self, work: Any) -> Any:
        """Return what the coroutine came to without waiting for anything."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def assert_empty(self, store: RedisStore) -> None:
        """Check that the store answers at once as an empty one does."""
        self.assertFalse(store.available)
        self.assertIsNone(self.now(store.get("key")))
        self.now(store.set("key", b"value", 10))
        self.assertTrue(self.now(store.add("key", b"value", 10)))
        self.now(store.delete("key"))
        lock = self.now(store.lock("name", 10))
        self.assertIsNotNone(lock)
        self.now(lock.release())
        heard: list[bytes] = []
        store.subscribe("unheard of", heard.append)
        self.now(store.publish("unheard of", b"message"))
        self.assertEqual(heard, [b"message"])
        self.assertEqual(store.waiting, 0)
