"""Readers that are slow, stop, or leave."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection

from metro_backend.branches.model import Artifact
from metro_backend.mirror.responder import PATIENCE, SWEEP
from tests.mirror.scripted import apk, artifact
from tests.mirror.serving import Client, ServingTestCase, reactor

BIG = 40 * 2**20
"""Bytes that no socket buffer holds: a receiver may grow to 32 MiB."""


class PaceTests(ServingTestCase):
    """Readers that are slow, stop, or leave."""

    def setUp(self) -> None:
        """Have a build on the shelf that no socket buffer holds."""
        super().setUp()
        self.data = apk(BIG)
        self.build = artifact(self.data, branch="big")
        self.bench.store(self.build, self.data)

    async def read(self, client: Client, size: int) -> None:
        """Let the client read so many bytes more, and stop."""
        wanted = client.limit = len(client.data) + size
        client.tcp.resumeProducing()
        await self.until(lambda: len(client.data) >= wanted or client.reason is not None)

    async def begin(self, client: Client, build: Artifact, **headers: str) -> None:
        """Have the client ask for a build, and stop reading soon."""
        client.limit = 1000
        client.ask(build.filename, **headers)
        await self.until(lambda: len(client.data) >= 1000)

    async def test_memory_does_not_grow_with_a_slow_reader(self) -> None:
        """What the process has written for a reader that stopped is bounded."""
        self.serve(wrapped=True)
        client = await self.connect()
        await self.begin(client, self.build)
        # The socket's buffers are full when nothing more is written for a while.
        written, looks = -1, 0
        while looks < 20:
            looks = looks + 1 if written == self.builds.requests[0].sentLength else 0
            written = self.builds.requests[0].sentLength
            await deferLater(reactor, 0.005)
        self.assertLess(written - len(client.data), 16 * 2**20)
        await self.read(client, len(self.data) - len(client.body))
        self.assertEqual(client.body, self.data)

    async def test_slow_reader_slows_nobody(self) -> None:
        """Another reader gets the whole while one has stopped."""
        stopped, client = await self.connect(), await self.connect()
        await self.begin(stopped, self.build)
        status, _, body = await self.ask(client, self.build.filename)
        self.assertEqual((status, body), (200, self.data))
        self.assertEqual(self.responder.readers, 1)

    async def test_reader_that_takes_nothing_is_dropped(self) -> None:
        """After 60 s the connection is cut; one that moves, however slowly, is not."""
        for wrapped in (False, True):
            self.serve(wrapped=wrapped)
            client = await self.connect()
            client.tcp.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            await self.begin(client, self.build)
            for _ in range(10):
                # Less than what makes the server's socket writable again.
                await self.read(client, 5000)
                for _ in range(10):
                    self.clock.advance(SWEEP)
            self.assertIsNone(client.reason)
            self.assertEqual(self.responder.readers, 1)
            for _ in range(int(PATIENCE / SWEEP) + 2):
                self.clock.advance(SWEEP)
            await self.read(client, len(self.data))
            assert client.reason is not None
            self.assertFalse(client.reason.check(ConnectionDone))
            self.assertLess(len(client.body), len(self.data))
            await self.until(lambda: self.responder.readers == 0)
        self.assertEqual(self.bench.counts["server.mirror.reader_dropped"], 2)

    async def test_end_of_a_slow_response(self) -> None:
        """The response of a slow reader has not ended while much of it is still on its way."""
        client = await self.connect()
        client.tcp.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        await self.begin(client, self.build, Range="bytes=0-299999")
        while len(client.data) < 220_000:
            self.clock.advance(SWEEP)
            await self.read(client, 5000)
        self.clock.advance(SWEEP)
        self.assertEqual(self.responder.readers, 1)
        await self.read(client, 300_000 - len(client.body))
        self.assertEqual(client.body, self.data[:300_000])

        def ended() -> bool:
            self.clock.advance(SWEEP)
            return self.responder.readers == 0

        await self.until(ended)
        self.assertIsNone(client.reason)

    async def test_reader_that_leaves(self) -> None:
        """Its response ends, its descriptor closes, nothing is logged as an error."""
        for wrapped in (False, True):
            self.serve(wrapped=wrapped)
            client = await self.connect()
            await self.begin(client, self.build)
            client.tcp.abortConnection()
            await self.until(lambda: self.responder.readers == 0)
            await self.until(lambda: self.builds.ended == 1)
        self.assertEqual(self.bench.counts["server.mirror.broken_off"], 0)
        self.assertEqual(self.clock.getDelayedCalls()[1:], [])

    async def test_cancelled_response(self) -> None:
        """Whoever cancels a response cuts its connection."""
        client = await self.connect()
        holding = await self.bench.mirror.open(self.build)
        responding: list[Deferred[None]] = []

        def render(request: object) -> int:
            responding.append(self.responder.respond(request, holding))  # type: ignore[arg-type]
            return 1

        self.patch(self.builds, "render_GET", render)
        await self.begin(client, self.build)
        responding[0].addErrback(lambda _: None)
        responding[0].cancel()
        await self.read(client, len(self.data))
        assert client.reason is not None
        self.assertFalse(client.reason.check(ConnectionDone))

    async def test_file_that_becomes_shorter(self) -> None:
        """A file that is cut while it is sent breaks the connection, and is counted."""
        for wrapped in (False, True):
            self.serve(wrapped=wrapped)
            data = apk(BIG, seed=1 + wrapped)
            build = artifact(data, number=200 + wrapped)
            self.bench.store(build, data)
            client = await self.connect()
            await self.begin(client, build)
            digest = hashlib.sha256(data).hexdigest()
            os.truncate(self.bench.directory / "files" / f"{digest}.apk", BIG - 2**20)
            await self.read(client, len(data))
            assert client.reason is not None
            self.assertFalse(client.reason.check(ConnectionDone))
            self.assertEqual(self.responder.readers, 0)
        self.assertEqual(self.bench.counts["server.mirror.broken_off"], 2)

    async def test_connection_serves_on(self) -> None:
        """After a big file the same connection takes the next request, however long its headers."""
        client = await self.connect()
        for _ in range(2):
            status, _, body = await self.ask(client, self.build.filename, X_Padding="x" * 9000)
            self.assertEqual((status, len(body)), (200, len(self.data)))
        transport: Any = self.builds.requests[0].transport
        self.assertEqual(transport.bufferSize, Connection.bufferSize)
        self.assertIsNone(client.reason)
