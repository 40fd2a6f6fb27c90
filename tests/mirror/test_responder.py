"""Files over real connections: headers, ranges, and builds that are still arriving."""

from __future__ import annotations

import base64
import hashlib
import random

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.mirror.headers import attachment
from metro_backend.mirror.responder import CONTENT_TYPE
from tests.mirror.scripted import MODIFIED, apk, artifact
from tests.mirror.serving import Client, ServingTestCase

DATA = apk(300_000)
BUILD = artifact(DATA)
NAME = BUILD.filename
ETAG = BUILD.etag.decode()


class AnswerTests(ServingTestCase):
    """What is said about a file, and which part of it is sent."""

    def setUp(self) -> None:
        """Have a build on the shelf."""
        super().setUp()
        self.bench.store(BUILD, DATA)

    async def test_whole_file(self) -> None:
        """A GET has everything that a download manager needs."""
        status, headers, body = await self.ask(await self.connect(), NAME)
        self.assertEqual((status, body), (200, DATA))
        digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
        for unneeded in ("Date", "Server"):
            headers.pop(unneeded)
        self.assertEqual(
            headers,
            {
                "Content-Length": "300000",
                "Content-Type": CONTENT_TYPE.decode(),
                "Content-Disposition": f'attachment; filename="{NAME}"',
                "Accept-Ranges": "bytes",
                "ETag": ETAG,
                "Last-Modified": "Mon, 07 Nov 2022 19:41:17 GMT",
                "Cache-Control": "public, max-age=31536000, immutable",
                "Repr-Digest": f"sha-256=:{digest}:",
            },
        )
        self.assertEqual(MODIFIED + 77, BUILD.modified)

    async def test_head(self) -> None:
        """HEAD says the same, without a byte."""
        client = await self.connect()
        _, get, _ = await self.ask(client, NAME)
        status, head, _ = await self.ask(client, NAME, "HEAD")
        self.assertEqual((status, head), (200, get))
        self.assertEqual(self.started, [BUILD])

    async def test_part(self) -> None:
        """A part says which one it is."""
        client = await self.connect()
        status, headers, body = await self.ask(client, NAME, Range="bytes=111000-")
        self.assertEqual((status, body), (206, DATA[111_000:]))
        self.assertEqual(headers["Content-Range"], "bytes 111000-299999/300000")
        self.assertEqual(headers["Content-Length"], "189000")
        self.assertEqual(headers["ETag"], ETAG)
        self.assertEqual(self.started, [])

    async def test_not_modified(self) -> None:
        """304 has the validators and no body."""
        client = await self.connect()
        status, headers, body = await self.ask(client, NAME, If_None_Match=ETAG)
        self.assertEqual((status, body, headers["ETag"]), (304, b"", ETAG))
        self.assertNotIn("Content-Length", headers)

    async def test_errors(self) -> None:
        """412 and 416 are not the file, and not to be kept."""
        client = await self.connect()
        for status, fields in (
            (412, {"If_Match": '"other"'}),
            (416, {"Range": "bytes=300000-"}),
        ):
            code, headers, body = await self.ask(client, NAME, **fields)
            self.assertEqual((code, body), (status, b""))
            self.assertEqual(headers["Cache-Control"], "no-store")
            self.assertNotIn("Content-Disposition", headers)
        self.assertEqual(headers["Content-Range"], "bytes */300000")

    async def test_starts_are_counted(self) -> None:
        """A download is counted at its first byte; neither HEAD, 304 nor a resumption is one."""
        client = await self.connect()
        await self.ask(client, NAME)
        await self.ask(client, NAME, Range="bytes=0-99")
        await self.ask(client, NAME, Range="bytes=100-")
        await self.ask(client, NAME, "HEAD")
        await self.ask(client, NAME, If_None_Match="*")
        self.assertEqual(self.started, [BUILD] * 2)

    async def random_parts(self) -> None:
        """Ask for many parts over one connection."""
        client = await self.connect()
        dice = random.Random(7)
        for _ in range(60):
            start = dice.randrange(300_000)
            stop = min(300_000, start + dice.choice((1, 100, 20_000, 70_000, 300_000)))
            status, _, body = await self.ask(client, NAME, Range=f"bytes={start}-{stop - 1}")
            self.assertEqual((status, len(body)), (206, stop - start))
            self.assertEqual(body, DATA[start:stop])

    async def test_many_parts_over_one_connection(self) -> None:
        """Bytes sent by the kernel and bytes written by the transport stay in their order."""
        await self.random_parts()

    async def test_many_parts_over_another_transport(self) -> None:
        """Where the socket is not ours alone, as with TLS, the bytes are the same."""
        self.serve(wrapped=True)
        await self.random_parts()

    async def test_pipelined_requests(self) -> None:
        """Requests that come at once are answered one after the other."""
        client = await self.connect()
        for start in range(0, 300_000, 50_000):
            client.ask(NAME, Range=f"bytes={start}-{start + 49_999}")
        for start in range(0, 300_000, 50_000):
            await self.until(client.whole)
            self.assertEqual(client.take()[2], DATA[start : start + 50_000])

    async def test_handed_to_the_server_in_front(self) -> None:
        """With x-accel an NGINX in front sends a file that is there, unless conditions are set."""
        self.serve(sendfile="x-accel:/internal/", root=self.bench.directory)
        client = await self.connect()
        for fields in ({}, {"Range": "bytes=5-9"}):
            status, headers, body = await self.ask(client, NAME, **fields)
            digest = hashlib.sha256(DATA).hexdigest()
            self.assertEqual(headers["X-Accel-Redirect"], f"/internal/files/{digest}.apk")
            self.assertEqual((status, body, headers["ETag"]), (200, b"", ETAG))
        status, headers, body = await self.ask(client, NAME, If_Match=ETAG, Range="bytes=5-9")
        self.assertEqual((status, body), (206, DATA[5:10]))
        self.assertNotIn("X-Accel-Redirect", headers)
        status, headers, _ = await self.ask(client, NAME, "HEAD")
        self.assertEqual((headers["Content-Length"]), "300000")

    async def test_other_name_and_no_cache(self) -> None:
        """A route that leads to the newest build is not immutable."""
        request_name, holding = "latest.apk", await self.bench.mirror.open(BUILD)
        builds, responder = self.builds, self.responder

        def render(request: object) -> int:
            builds.requests.append(request)  # type: ignore[arg-type]
            responder.respond(
                request,  # type: ignore[arg-type]
                holding,
                filename=request_name,
                cache_control=b"no-cache",
            ).addBoth(builds._end)
            return 1

        self.patch(builds, "render_GET", render)
        _, headers, body = await self.ask(await self.connect(), "x")
        self.assertEqual(body, DATA)
        self.assertEqual(headers["Cache-Control"], "no-cache")
        self.assertEqual(headers["Content-Disposition"], 'attachment; filename="latest.apk"')


class ColdTests(ServingTestCase):
    """A build that is not on the shelf."""

    def setUp(self) -> None:
        """Publish it."""
        super().setUp()
        self.bench.mirror.current({NAME: BUILD})

    async def test_nothing_is_fetched_where_no_byte_is_asked_for(self) -> None:
        """HEAD, 304, 412 and 416 need only what the list of builds tells."""
        client = await self.connect()
        status, headers, _ = await self.ask(client, NAME, "HEAD")
        self.assertEqual((status, headers["Content-Length"]), (200, "300000"))
        for status, fields in (
            (304, {"If_None_Match": ETAG}),
            (412, {"If_Match": '"other"'}),
            (416, {"Range": "bytes=300000-"}),
        ):
            code, _, _ = await self.ask(client, NAME, **fields)
            self.assertEqual(code, status)
        self.assertEqual(self.bench.source.asked, [])

    async def test_head_of_a_build_of_unknown_length(self) -> None:
        """Where nobody has told the length, HEAD does not fetch the file to learn it."""
        build = artifact(None, branch="master")
        self.bench.mirror.current({build.filename: build})
        client = await self.connect()
        status, headers, _ = await self.ask(client, build.filename, "HEAD")
        self.assertEqual(status, 200)
        self.assertNotIn("Content-Length", headers)
        self.assertEqual(headers["ETag"], build.etag.decode())
        self.assertEqual(self.bench.source.asked, [])

    async def test_follows_the_fetch(self) -> None:
        """Readers of all parts get what has come at once, and the rest as it comes."""
        clients = [await self.connect() for _ in range(4)]
        parts = ((0, 300_000), (5000, 300_000), (200_000, 250_000), (290_000, 300_000))
        for client, (start, stop) in zip(clients, parts, strict=True):
            client.ask(NAME, Range=f"bytes={start}-{stop - 1}")
        await self.until(lambda: len(self.builds.requests) == 4)
        self.assertEqual(len(self.bench.source.asked), 1)
        response = self.bench.source.last.answer(length=300_000)
        response.send(DATA[:100_000])
        await self.until(lambda: len(clients[0].body) == 100_000)
        await self.until(lambda: len(clients[1].body) == 95_000)
        await self.until(lambda: b"206" in clients[3].data)
        self.assertEqual(clients[2].body, b"")
        for at in range(100_000, 300_000, 20_000):
            response.send(DATA[at : at + 20_000])
            self.clock.advance(0.02)
        response.end()
        for client, (start, stop) in zip(clients, parts, strict=True):
            await self.until(client.whole)
            self.assertEqual(client.body, DATA[start:stop])

    async def test_failed_fetch_breaks_the_connection(self) -> None:
        """A response that cannot be whole does not end politely, whatever its framing."""
        for wrapped in (False, True):
            self.serve(wrapped=wrapped)
            build = artifact(DATA, number=100 + wrapped)
            self.bench.mirror.current({build.filename: build})
            client = await self.connect()
            client.ask(build.filename)
            await self.until(lambda: len(self.builds.requests) == 1)
            response = self.bench.source.last.answer(length=300_000)
            response.send(DATA[:-1] + b"?")
            await self.received(client, 200_000)
            response.end()
            await self.broken(client)
            self.assertLess(len(client.body), 300_000)
            self.assertEqual(self.responder.readers, 0)
        self.assertEqual(self.bench.counts["server.mirror.broken_off"], 2)

    async def received(self, client: Client, size: int) -> None:
        """Wait until the client has so many bytes."""
        await self.until(lambda: len(client.body) >= size)

    async def broken(self, client: Client) -> None:
        """Wait until the client's connection has ended, and not politely."""
        await self.until(lambda: client.reason is not None)
        assert client.reason is not None
        self.assertFalse(client.reason.check(ConnectionDone))

    async def test_no_source(self) -> None:
        """Nothing was written yet, so the route can say what is wrong."""
        client = await self.connect()
        asking = Deferred.fromCoroutine(self.ask(client, NAME))
        await self.until(lambda: len(self.bench.source.asked) == 1)
        self.bench.source.last.answer(404, 0)
        status, headers, body = await asking
        self.assertEqual((status, headers["Retry-After"], body), (502, "5", b""))
        self.assertEqual(self.started, [])

    async def test_reader_that_leaves_before_the_first_byte(self) -> None:
        """Its holding is closed, and the fetch goes on."""
        client = await self.connect()
        client.ask(NAME)
        await self.until(lambda: len(self.bench.source.asked) == 1)
        client.tcp.abortConnection()
        await self.until(lambda: client.reason is not None)
        await self.until(lambda: self.builds.requests[0].channel is None)
        response = self.bench.source.last.answer(length=300_000)
        response.send(DATA)
        self.assertEqual(self.builds.ended, 1)
        response.end()
        self.assertEqual(self.bench.mirror.status()["fills"], [])
        self.assertIsNotNone(self.bench.shelf.entry(BUILD.identity))


class HeaderTests(SynchronousTestCase):
    """Content-Disposition for any name."""

    def test_names(self) -> None:
        """Always quoted; what ASCII cannot say, or must not, is said twice."""
        for name, field in (
            ("MosMetro-play-v77.apk", b'attachment; filename="MosMetro-play-v77.apk"'),
            ("a b.apk", b'attachment; filename="a b.apk"'),
            ('a"b.apk', b"attachment; filename=\"a_b.apk\"; filename*=UTF-8''a%22b.apk"),
            ("../x.apk", b'attachment; filename=".._x.apk"'),
            ("a\r\nX: y.apk", b'attachment; filename="a__X: y.apk"'),
            ("м.apk", b"attachment; filename=\"_.apk\"; filename*=UTF-8''%D0%BC.apk"),
            ("", b'attachment; filename="_"'),
        ):
            self.assertEqual(attachment(name), field)
        self.successResultOf(maybeDeferred(attachment, "\ud800"))
