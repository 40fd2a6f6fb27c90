"""The Redis store, against a real Redis that works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from metro_backend.store import Store
from metro_backend.store.redis import MOST_BYTES, RedisLocation, RedisStore
from tests.store import contract, redis_case
from tests.store.redis_case import reactor

if TYPE_CHECKING:
    _conforms: type[Store] = RedisStore


class RedisContractTests(redis_case.RedisTestCase, contract.StoreContract):
    """The Redis store keeps the contract of all stores."""

    async def setUp(self) -> None:  # type: ignore[override]
        """Put the store to the test."""
        await super().setUp()
        self.store = self.redis


class GuardedRedisTests(RedisContractTests):
    """So it does over a UNIX socket, with a password."""

    password = "p@ss:w/rd%"
    unix = True


class SharedTests(redis_case.RedisTestCase):
    """Two instances on one Redis."""

    async def test_shared(self) -> None:
        """What one stores the other one finds, and nothing lies outside the prefix."""
        other = await self.connected_store()
        await self.redis.set("key", b"value")
        await self.redis.lock("name", 3600)
        self.assertEqual(await other.get("key"), b"value")
        self.assertIsNone(await other.lock("name", 3600))
        self.assertEqual(self.server.say("DBSIZE"), b":2\r\n")
        self.assertEqual(self.server.say("EXISTS", "metro:key", "metro:lock:name"), b":2\r\n")

    async def test_published_to_all(self) -> None:
        """A message reaches the other instance, and its own."""
        other = await self.connected_store()
        here: list[bytes] = []
        there: list[bytes] = []
        self.redis.subscribe("topic", here.append)
        other.subscribe("topic", there.append)
        await other.publish("topic", b"\xff1")
        await self.arrival(here, [b"\xff1"])
        await self.arrival(there, [b"\xff1"])

    async def test_holder_dies(self) -> None:
        """A lock outlives its holder's connection, but not its time, which Redis keeps."""
        holder = await self.connected_store()
        await holder.lock("name", 3600)
        await holder.service.stopService()
        self.assertIsNone(await self.redis.lock("name", 3600))
        left = int(self.server.say("PTTL", "metro:lock:name")[1:])
        self.assertTrue(0 < left <= 3_600_000)
        self.server.say("PEXPIRE", "metro:lock:name", "1")
        await self.eventually(lambda: self.redis.lock("name", 3600))

    async def test_cancelled_lock(self) -> None:
        """A caller that goes away while it waits for a lock leaves none behind."""
        waiting = Deferred.fromCoroutine(self.redis.lock("name", 3600))
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertIsNotNone(await self.redis.lock("name", 3600))

    async def test_too_much(self) -> None:
        """More bytes than may wait are not sent at all."""
        await self.redis.set("key", b"x" * (MOST_BYTES + 1))
        self.assertEqual(self.counts["server.store.busy"], 1)
        self.assertIsNone(await self.redis.get("key"))

    async def test_odd_names_and_times(self) -> None:
        """No name and no number of seconds makes a call fail."""
        for seconds in (0, -1, 1e-9, 1e300, float("inf"), float("nan")):
            await self.redis.set("ключ\udcff\n", b"value", seconds)
            await self.redis.add("", b"value", seconds)
            await self.redis.lock("", seconds)
        await self.redis.set("ключ\udcff\n", b"value", 1e300)
        self.assertEqual(await self.redis.get("ключ\udcff\n"), b"value")

    async def test_wrong_type(self) -> None:
        """What somebody else put there as another type is no value."""
        self.server.say("RPUSH", "metro:key", "value")
        self.assertIsNone(await self.redis.get("key"))
        self.assertEqual(self.counts["server.store.refused"], 1)
        self.assertFalse(self.redis.available)
        await self.redis.get("other")
        self.assertTrue(self.redis.available)

    async def test_before_start(self) -> None:
        """Nothing connects before the service starts; until then the store is an empty one."""
        asked: list[RedisLocation] = []

        class Endpoint:
            def connect(self, factory: object) -> Deferred[Any]:
                raise AssertionError("connected")

        def connect(reactor: object, location: RedisLocation) -> Any:
            asked.append(location)
            return Endpoint()

        location = RedisLocation.parse(self.server.url)
        store = RedisStore(reactor, location, self.count, connect)
        self.assertEqual(asked, [location])
        self.assert_empty(store)
        await store.service.stopService()
