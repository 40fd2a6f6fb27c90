"""A real Redis that is killed, stopped, emptied, made read-only, or wants a password."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs
from twisted.protocols.portforward import ProxyFactory

from metro_backend.store.redis import MOST_BYTES, MOST_WAITING
from tests.doubles.redis_server import free_port
from tests.store import redis_case
from tests.store.redis_case import reactor


class OutageTests(redis_case.RedisTestCase):
    """A Redis that goes away, in each of the ways it has."""

    async def test_killed_and_restarted(self) -> None:
        """While Redis is down the store is an empty one; it comes back, subscriptions too."""
        other = await self.connected_store()
        heard: list[bytes] = []
        self.redis.subscribe("topic", heard.append)
        await self.redis.set("key", b"value")
        self.server.kill()

        async def away() -> bool:
            return not self.redis.available

        await self.eventually(away)
        self.assert_empty(self.redis)
        self.assertGreater(self.counts["server.store.away"], 0)
        await self.server.start()
        await self.connection(self.redis)
        await self.connection(other)
        self.assertIsNone(await self.redis.get("key"))
        await self.redis.set("key", b"again")
        self.assertEqual(await other.get("key"), b"again")
        await other.publish("topic", b"message")
        await self.arrival(heard, [b"message"])

    async def test_killed_with_commands_on_their_way(self) -> None:
        """Commands that were sent when Redis died are answered as by an empty store."""
        self.server.pause()
        replies = gatherResults(
            [Deferred.fromCoroutine(self.redis.get(f"key{n}")) for n in range(50)]
        )
        self.assertEqual(self.redis.waiting, 50)
        self.server.kill()
        self.assertEqual(await replies, [None] * 50)
        self.assertEqual(self.counts["server.store.lost"], 50)
        self.assertEqual(self.redis.waiting, 0)

    async def test_lock_taken_by_a_redis_that_hung(self) -> None:
        """A lock that was taken after all, when nobody waited for it any more, is given back."""
        self.server.pause()
        lock = await self.redis.lock("name", 3600)
        assert lock is not None
        await lock.release()
        self.server.resume()
        await self.connection(self.redis)

        async def free() -> bool:
            return self.server.say("EXISTS", "metro:lock:name") == b":0\r\n"

        await self.eventually(free)

    async def test_restarted_empty(self) -> None:
        """A Redis that lost everything between two commands is noticed by nobody for long."""
        await self.redis.set("key", b"value")
        self.assertIsNotNone(await self.redis.lock("name", 3600))
        await self.server.restart_empty()

        async def works() -> bool:
            await self.redis.set("key", b"again", 3600)
            return await self.redis.get("key") == b"again"

        await self.eventually(works)
        # The script of `release` is gone as well.
        lock = await self.redis.lock("name", 3600)
        assert lock is not None
        await lock.release()
        self.assertIsNotNone(await self.redis.lock("name", 3600))

    async def test_script_flushed(self) -> None:
        """Locks are released even if Redis has forgotten the script for it."""
        for _ in range(3):
            lock = await self.redis.lock("name", 3600)
            assert lock is not None
            await lock.release()
            self.server.say("SCRIPT", "FLUSH")

    async def test_paused(self) -> None:
        """A Redis that hangs costs a bounded number of callers one deadline, and then nobody."""
        await self.redis.set("key", b"value")
        self.server.pause()
        replies = [Deferred.fromCoroutine(self.redis.get("key")) for _ in range(800)]
        self.assertEqual(self.redis.waiting, MOST_WAITING)
        self.assertEqual(self.counts["server.store.busy"], 800 - MOST_WAITING)
        self.assertEqual(await gatherResults(replies), [None] * 800)
        given_up = self.counts["server.store.timeout"] + self.counts["server.store.lost"]
        self.assertEqual(given_up, MOST_WAITING)
        for _ in range(800):
            self.assertIsNone(self.now(self.redis.get("key")))
        self.assert_empty(self.redis)
        self.server.resume()
        await self.connection(self.redis)
        self.assertEqual(await self.redis.get("key"), b"value")

    async def test_paused_with_impatient_callers(self) -> None:
        """Callers that go away before the deadline do not hide that Redis hangs."""
        self.server.pause()
        for _ in range(2 * MOST_WAITING):
            reply = Deferred.fromCoroutine(self.redis.get("key"))
            reply.addErrback(lambda failure: None)
            reply.cancel()
        self.assertEqual(self.redis.waiting, MOST_WAITING)

        async def cut_off() -> bool:
            return not self.redis.available

        await self.eventually(cut_off)
        self.server.resume()
        await self.connection(self.redis)
        self.assertEqual(self.redis.waiting, 0)

    async def test_readonly(self) -> None:
        """Of a replica reads work; writes are counted and logged once, and fail for nobody."""
        await self.redis.set("key", b"value", 3600)
        self.server.make_readonly()
        self.assertEqual(await self.redis.get("key"), b"value")
        self.assertTrue(self.redis.available)
        await self.redis.set("key", b"other", 10)
        self.assertFalse(self.redis.available)
        self.assertTrue(await self.redis.add("new", b"value", 10))
        lock = await self.redis.lock("name", 10)
        assert lock is not None
        await lock.release()
        await self.redis.delete("key")
        self.assertEqual(self.counts["server.store.refused"], 4)
        self.assertEqual(await self.redis.get("key"), b"value")
        self.assertEqual(str(self.log).count("READONLY"), 1)


class StopTests(redis_case.RedisTestCase):
    """The service stops in any weather; trial looks for what it may leave behind."""

    async def test_while_paused(self) -> None:
        """A Redis that hangs, with more to send than it takes, does not hold up the stop."""
        self.server.pause()
        Deferred.fromCoroutine(self.redis.set("key", b"x" * MOST_BYTES))
        self.assertEqual(self.redis.waiting, 1)
        await self.redis.service.stopService()
        self.assert_empty(self.redis)

    async def test_while_connecting_to_a_paused_one(self) -> None:
        """Nor does one that has not greeted yet."""
        self.server.pause()
        store = self.another_store()
        await self.rest()
        await store.service.stopService()
        self.assertFalse(store.available)

    async def test_while_down(self) -> None:
        """Nor does one that is not there, whether an attempt is under way or waited for."""
        store = self.another_store(f"redis://127.0.0.1:{free_port()}")
        await store.service.stopService()
        store.service.startService()

        async def refused() -> bool:
            return self.counts["server.store.disconnected"] >= 2

        await self.eventually(refused)
        await store.service.stopService()
        self.assert_empty(store)

    async def test_started_again(self) -> None:
        """A store that was stopped can be started again."""
        await self.redis.service.stopService()
        self.redis.service.startService()
        await self.connection(self.redis)
        await self.redis.set("key", b"value")
        self.assertEqual(await self.redis.get("key"), b"value")


class PasswordTests(redis_case.RedisTestCase):
    """A Redis that wants a password."""

    password = "correct horse"

    async def refused(self, url: str) -> None:
        """Wait until a store has not been let in a few times."""
        store = self.another_store(url)

        async def disconnected() -> bool:
            return self.counts["server.store.disconnected"] >= 4

        await self.eventually(disconnected)
        self.assert_empty(store)

    async def test_wrong_password(self) -> None:
        """A wrong password is logged once, and not shown; the store goes on trying."""
        with capturedLogs() as everything:
            await self.refused(f"redis://:battery@127.0.0.1:{self.server.port}")
        log = str(self.log)
        self.assertEqual(log.count("AUTH failed"), 1)
        self.assertIn("WRONGPASS", log)
        self.assertNotIn("battery", log + repr(everything))

    async def test_no_password(self) -> None:
        """So is a missing one."""
        await self.refused(f"redis://127.0.0.1:{self.server.port}")
        self.assertEqual(str(self.log).count("NOAUTH"), 1)

    async def test_user(self) -> None:
        """A user of Redis' access lists gets in, and is told what he may not do."""
        self.server.say("ACL", "SETUSER", "metro", "on", ">pass:word", "~metro:*", "+ping", "+get")
        store = self.another_store(f"redis://metro:pass%3Aword@127.0.0.1:{self.server.port}")

        async def works() -> bool:
            return store.available

        await self.eventually(works)
        self.server.say("SET", "metro:key", "value")
        self.assertEqual(await store.get("key"), b"value")
        await store.set("key", b"other")
        self.assertEqual(self.counts["server.store.refused"], 1)
        self.assertEqual(await store.get("key"), b"value")

    async def test_cut_during_auth(self) -> None:
        """Connections that are lost during AUTH are tried again until one holds."""

        class Cut(Protocol):
            def dataReceived(self, data: bytes) -> None:
                commands.append(data)
                assert self.transport is not None
                self.transport.loseConnection()

        class Doorway(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                if len(commands) < 4:
                    return Cut()
                through = ProxyFactory("127.0.0.1", server_port)
                return through.buildProtocol(addr)

        commands: list[bytes] = []
        server_port = self.server.port
        doorway = reactor.listenTCP(0, Doorway(), interface="127.0.0.1")
        self.addCleanup(doorway.stopListening)
        url = f"redis://:correct%20horse@127.0.0.1:{doorway.getHost().port}"
        store = await self.connected_store(url)
        self.assertTrue(all(b"AUTH" in command for command in commands))
        self.assertEqual(len(commands), 4)
        await store.set("key", b"value")
        self.assertEqual(await self.redis.get("key"), b"value")
        await store.service.stopService()
