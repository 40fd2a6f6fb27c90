"""Nothing personal that a phone sends is kept, sent on or logged (contract §3.2, design §8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor as installed_reactor

from tests.doubles.phones.markers import MARKERS, personal_traces
from tests.doubles.phones.reports import REPORTS
from tests.doubles.redis_server import RedisServer
from tests.doubles.server_process import ProcessTestCase
from tests.doubles.statsd import StatsDListener

reactor: Any = installed_reactor


class PrivacyTests(ProcessTestCase):
    """A real server, a real Redis, a real UDP listener; markers in every field."""

    async def test_no_trace(self) -> None:
        """No marker is found in StatsD, Redis, the state directory or the log."""
        redis, statsd = RedisServer(self), StatsDListener()
        await redis.start()
        statsd.start(reactor)
        self.addCleanup(statsd.stop)
        server = self.server(redis=redis.url, statsd=f"127.0.0.1:{statsd.port}")
        await server.start()
        await server.ready()
        self.assertEqual(len(personal_traces(*MARKERS.values())), len(MARKERS))

        for sample in REPORTS:
            headers = {"User-Agent": MARKERS["message"], "X-Forwarded-For": "203.0.113.77"}
            if sample.content_type:
                headers["Content-Type"] = sample.content_type
            for query in ("", "?" + "&".join(f"{k}={quote(v)}" for k, v in MARKERS.items())):
                code, _ = await server.get(
                    sample.route + query, sample.method, data=sample.body, headers=headers
                )
                self.assertEqual(code, 200)
        for path in ("/api/v1/branches.php", "/api/v2/download/master", "/releases/no", "/no"):
            await server.get(f"{path}?uuid={MARKERS['uuid']}&ssid={quote(MARKERS['ssid'])}")
        await statsd.until(lambda: statsd.totals().get("update.master.438", 0) > 0, reactor)
        await server.terminate()

        kept = [name.encode() for name in statsd.names]
        keys = [
            line for line in redis.say("KEYS", "*").split(b"\r\n") if line.startswith(b"metro:")
        ]
        self.assertTrue(keys)
        for key in keys:
            kept += [key, redis.say("GET", key.decode())]
        files = [path for path in Path(server.directory).rglob("*") if path.is_file()]
        self.assertTrue(files)
        kept += [path.read_bytes() for path in files if path.suffix != ".apk"]
        kept += [str(path).encode() for path in files]
        kept += [line.encode() for line in server.lines]
        self.assertEqual(personal_traces(*kept), set())
        self.assertNotIn(b"203.0.113.77", b"\n".join(kept))
