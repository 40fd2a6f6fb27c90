"""Android's DownloadManager loses the network at 37 % and goes on, whatever happened meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint

from tests.doubles.phones.downloads import Download, DownloadManager
from tests.doubles.phones.exchange import SocketExchange, only
from tests.doubles.phones.failures import DownloadBroken
from tests.mirror.scripted import Bench, Response, apk, artifact
from tests.mirror.serving import ServingTestCase, reactor

DATA = apk(1_000_000)
BUILD = artifact(DATA)
LOST = 370_000


class ReplayTests(ServingTestCase):
    """A download in two parts ends as the same bytes under the same ETag."""

    def setUp(self) -> None:
        """Publish a build that nobody has fetched, and have a phone at hand."""
        super().setUp()
        self.bench.mirror.current({BUILD.filename: BUILD})
        self.endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        self.phone = self.make_phone()

    def make_phone(self) -> DownloadManager:
        """Make a phone that reaches the server of the moment, whatever its port."""
        return DownloadManager(
            SocketExchange(reactor, lambda parts: only(self.endpoint, "a.example")(parts)),
            android=24,
        )

    def serve_by(self, bench: Bench) -> None:
        """Replace the server."""
        self.bench = bench
        self.serve()
        self.endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)

    async def begin(self, phone: DownloadManager | None = None) -> Response:
        """Have a phone lose the network at 37 % while the source has sent 60 %."""
        phone = phone or self.phone
        asked = len(self.bench.source.asked)
        beginning = Deferred.fromCoroutine(
            phone.begin(f"http://a.example/{BUILD.filename}", lose_after=LOST)
        )
        await self.until(lambda: len(self.bench.source.asked) > asked)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:600_000])
        await beginning
        self.assertEqual(phone.held, LOST)
        return response

    def finish(self, response: Response) -> None:
        """Have the source send the rest."""
        self.clock.advance(1)
        response.send(DATA[600_000:])
        response.end()

    def check(self, download: Download) -> None:
        """Expect the whole build, in two requests."""
        self.assertEqual(download.body, DATA)
        self.assertEqual((download.requests, download.filename), (2, BUILD.filename))
        self.assertEqual(len(self.started), 1)

    async def test_while_it_is_fetched(self) -> None:
        """The rest comes from what has arrived, and from what arrives."""
        response = await self.begin()
        resuming = Deferred.fromCoroutine(self.phone.resume())
        await self.until(lambda: len(self.builds.requests) == 2)
        self.finish(response)
        self.check(await resuming)
        self.assertEqual(len(self.bench.source.asked), 1)

    async def test_after_it_was_fetched(self) -> None:
        """The rest comes from the shelf."""
        self.finish(await self.begin())
        self.check(await self.phone.resume())
        self.assertEqual(len(self.bench.source.asked), 1)

    async def test_after_wrong_bytes(self) -> None:
        """Where wrong bytes were sent nobody goes on: a mixture would pass for the whole."""
        response = await self.begin()
        self.clock.advance(1)
        response.send(b"x" * 400_000)
        response.end()
        broken: Any = await self.assertFailure(
            Deferred.fromCoroutine(self.phone.resume()), DownloadBroken
        )
        self.assertEqual(broken.status, 412)

    async def test_after_a_restart(self) -> None:
        """The rest comes from the shelf as the next process finds it."""
        self.finish(await self.begin())
        await self.bench.mirror.service.stopService()
        self.serve_by(self.bench.again(size_limit=2**28))
        self.check(await self.phone.resume())
        self.assertEqual(len(self.bench.source.asked), 1)

    async def test_after_a_restart_in_the_middle(self) -> None:
        """The half file was given up, and the build is fetched again."""
        await self.begin()
        await self.bench.mirror.service.stopService()
        bench = self.bench.again(size_limit=2**28)
        bench.mirror.current({BUILD.filename: BUILD})
        self.serve_by(bench)
        resuming = Deferred.fromCoroutine(self.phone.resume())
        await self.until(lambda: len(bench.source.asked) == 2)
        response = bench.source.last.answer(length=len(DATA))
        response.send(DATA[:600_000])
        self.finish(response)
        self.check(await resuming)

    async def test_after_eviction(self) -> None:
        """The build is fetched again under the same ETag."""
        self.finish(await self.begin())
        bench = self.bench.again(ttl=10, keep=0, size_limit=2**28)
        bench.mirror.current({})
        self.clock.advance(20)
        bench.shelf.upkeep()
        self.assertEqual(bench.files("files/*"), [])
        bench.mirror.current({BUILD.filename: BUILD})
        self.serve_by(bench)
        resuming = Deferred.fromCoroutine(self.phone.resume())
        await self.until(lambda: len(bench.source.asked) == 2)
        response = bench.source.last.answer(length=len(DATA))
        response.send(DATA[:600_000])
        self.finish(response)
        self.check(await resuming)

    async def test_at_another_instance(self) -> None:
        """An instance with a directory of its own fetches for itself, and tells the same ETag."""
        self.finish(await self.begin())
        directory = Path(self.mktemp())
        directory.mkdir()
        other = Bench(directory, clock=self.clock, size_limit=2**28)
        other.mirror.current({BUILD.filename: BUILD})
        self.serve_by(other)
        resuming = Deferred.fromCoroutine(self.phone.resume())
        await self.until(lambda: len(other.source.asked) == 1)
        response = other.source.last.answer(length=len(DATA), ETag='"another"')
        response.send(DATA[:600_000])
        self.finish(response)
        self.check(await resuming)

    async def test_after_a_newer_build(self) -> None:
        """The old build goes on under its old name."""
        self.finish(await self.begin())
        newer = artifact(apk(9000), number=78)
        self.bench.mirror.current({newer.filename: newer})
        self.check(await self.phone.resume())

    async def test_after_a_newer_build_in_the_middle(self) -> None:
        """It does so even if it was still being fetched."""
        response = await self.begin()
        newer = artifact(apk(9000), number=78)
        self.bench.mirror.current({newer.filename: newer})
        self.finish(response)
        self.check(await self.phone.resume())

    async def test_in_many_pieces(self) -> None:
        """A network that is lost time and again costs nothing but time."""
        self.finish(await self.begin())
        while self.phone.held < 900_000:
            await self.phone.resume_and_lose(lose_after=100_000)
        download = await self.phone.resume()
        self.assertEqual(download.body, DATA)
        self.assertEqual(len(self.started), 1)

    async def test_another_upload_under_the_same_name(self) -> None:
        """A replaced file has another ETag: the phone is told to begin again."""
        self.finish(await self.begin())
        upload = artifact(apk(1_000_000, seed=1), stamp="2")
        self.bench.mirror.current({upload.filename: upload})
        with self.assertRaises(DownloadBroken) as caught:
            await self.phone.resume()
        self.assertEqual(caught.exception.status, 412)
        self.assertEqual(self.phone.held, 0)
