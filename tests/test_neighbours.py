"""Real server processes beside a real Redis and a real UDP listener."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import DatagramProtocol

from tests.doubles.redis_server import RedisServer
from tests.doubles.server_process import ProcessTestCase
from tests.doubles.statsd import StatsDListener
from tests.doubles.world import RELEASES

reactor: Any = installed_reactor


def queue(number: int) -> bytes:
    """Make a queue of one event that nobody has sent before."""
    version = {"branch": "play", "build": 0, "name": "2.3.2", "code": 77}
    result = {"provider": "Unknown", "success": True}
    event = {"timestamp": number, "version": version, "result": result}
    return json.dumps({"uuid": f"{number:032x}", "events": [event]}).encode()


class NeighboursTests(ProcessTestCase):
    """With StatsD and Redis."""

    async def test_report_to_statsd(self) -> None:
        """A report's counters arrive at a StatsD exactly once each."""
        listener = StatsDListener()
        listener.start(reactor)
        self.addCleanup(listener.stop)
        server = self.server(statsd=f"127.0.0.1:{listener.port}")
        await server.start()
        report = b"version=1.7.2-57&success=true&provider=MosMetroV2&segment=metro"
        self.assertEqual(
            await server.get("/api/v1/statistics.php", "POST", data=report), (200, b"")
        )
        await listener.until(lambda: "success.true" in listener.totals(), reactor)
        await server.terminate()
        totals = listener.totals()
        for name in ("success.true", "provider.MosMetroV2", "segment.metro", "version.code.57"):
            self.assertEqual(totals[name], 1, name)
        self.assertEqual(listener.malformed, [])

    async def test_report_without_statsd(self) -> None:
        """With nothing listening the answer is the same."""
        unused = reactor.listenUDP(0, DatagramProtocol(), interface="127.0.0.1")
        number = unused.getHost().port
        await unused.stopListening()
        server = self.server(statsd=f"127.0.0.1:{number}")
        await server.start()
        for _ in range(3):
            answer = await server.get("/api/v2/stats", "POST", data=b"success=true")
            self.assertEqual(answer, (200, b""))

    async def test_two_instances_on_one_redis(self) -> None:
        """What one instance learns the other serves, without calls of its own."""
        redis = RedisServer(self)
        await redis.start()
        one = self.server(redis=redis.url, admin="true", admin_password="s3cret")
        other = self.server(redis=redis.url)
        await one.start()
        await one.ready()
        await other.start()
        await other.ready()
        number = str(self.demo.stand_in.jenkins.job("master").add_build("x").number)
        calls = self.demo.stand_in.count(RELEASES)
        code, _ = await one.get("/api/admin/flush", auth=("admin", "s3cret"))
        self.assertEqual(code, 200)

        async def arrived() -> bool:
            return bool((await other.branches())["master"]["build"] == number)

        await self.until(arrived)
        self.assertEqual(self.demo.stand_in.count(RELEASES), calls + 1)
        redis.kill()
        for server in (one, other):
            self.assertEqual((await server.branches())["master"]["build"], number)

    async def test_redis_restarted_empty(self) -> None:
        """A Redis that has lost everything joins the instances again by itself."""
        redis = RedisServer(self)
        await redis.start()
        one = self.server(redis=redis.url, admin="true", admin_password="s3cret")
        other = self.server(redis=redis.url)
        for server in (one, other):
            await server.start()
            await server.ready()
        await redis.restart_empty()

        async def listening() -> bool:
            return redis.say("PUBSUB", "NUMSUB", "metro:snapshot").endswith(b":2\r\n")

        await self.until(listening)
        number = str(self.demo.stand_in.jenkins.job("master").add_build("x").number)
        await one.get("/api/admin/flush", auth=("admin", "s3cret"))

        async def arrived() -> bool:
            return bool((await other.branches())["master"]["build"] == number)

        await self.until(arrived)

    async def test_redis_stopped_under_load(self) -> None:
        """While Redis hangs every answer is right, and afterwards it is used again."""
        redis = RedisServer(self, password="hush")
        await redis.start()
        server = self.server(redis=redis.url, admin="true", admin_password="s3cret")
        await server.start()
        await server.ready()

        async def available() -> bool:
            _, body = await server.get("/api/admin/status", auth=("admin", "s3cret"))
            return bool(json.loads(body)["store"]["available"])

        await self.until(available)
        redis.pause()
        for number in range(100):
            answers = await gatherResults(
                [
                    Deferred.fromCoroutine(server.get("/api/v1/branches.php")),
                    Deferred.fromCoroutine(server.get("/api/v3/stats", "POST", data=queue(number))),
                ]
            )
            self.assertEqual([code for code, _ in answers], [200, 200])

        async def away() -> bool:
            return not await available()

        await self.until(away)
        redis.resume()
        await self.until(available)
        self.assertNotIn("hush", "\n".join(server.lines))
