"""Everything that a source can do wrong."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

from metro_backend.mirror.errors import FillFailed, Unavailable
from metro_backend.mirror.holding import Holding
from tests.mirror.scripted import MirrorTestCase, apk, artifact, read

DATA = apk(50_000)
BUILD = artifact(DATA)


class WrongFileTests(MirrorTestCase):
    """A source that gives something else than the build."""

    def refused(self, opening: Deferred[Holding], status: int, text: str) -> None:
        """Expect a clear answer, and nothing left behind."""
        error = self.failureResultOf(opening, Unavailable).value
        assert isinstance(error, Unavailable)
        self.assertEqual(error.status, status)
        self.assertIn(text, error.detail)
        self.assertGreaterEqual(error.retry_after, 1)
        self.assertEqual(self.bench.files("*/*"), [])
        self.assertEqual(self.bench.mirror.status()["fills"], [])

    def broken_off(self, holding: Holding, text: str) -> None:
        """Expect a reader to be told before it has the end, and nothing left behind."""
        self.assertLess(holding.available, holding.size)
        failure = self.failureResultOf(holding.wait(holding.size - 1), FillFailed)
        self.assertIn(text, str(failure.value))
        self.assertEqual(self.bench.files("*/*"), [])

    def test_page_instead_of_the_file(self) -> None:
        """An HTML page with status 200 is recognized by its first bytes."""
        opening = self.bench.open(artifact(None))
        response = self.bench.source.last.answer(length=5000)
        response.send(b"<!doctype html>")
        self.refused(opening, 502, "not a ZIP")
        self.assertTrue(response.closed)

    def test_wrong_length_in_the_headers(self) -> None:
        """A length other than the promised one ends it before the body."""
        for length in (len(DATA) - 1, len(DATA) + 1):
            bench = self.bench = self.start()
            opening = bench.open(BUILD)
            response = bench.source.last.answer(length=length)
            self.refused(opening, 502, "promised")
            self.assertTrue(response.closed)

    def test_shorter_than_promised(self) -> None:
        """A body that ends properly before its time is wrong."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer()
        response.send(DATA[:-1])
        holding = self.successResultOf(opening)
        response.end()
        self.broken_off(holding, "promised")

    def test_longer_than_promised(self) -> None:
        """So is one that does not end."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer()
        response.send(DATA[:30_000])
        holding = self.successResultOf(opening)
        response.send(DATA[30_000:] + b"?")
        self.broken_off(holding, "more than")
        self.assertTrue(response.closed)

    def test_altered(self) -> None:
        """A file with another digest is never whole for anybody, and never kept."""
        wrong = DATA[:30_000] + b"\0" + DATA[30_001:]
        for kind in ("sha256", "md5"):
            bench = self.bench = self.start()
            digest = f"{kind}:{hashlib.new(kind, DATA).hexdigest()}"
            opening = bench.open(artifact(DATA, digest=digest))
            response = bench.source.last.answer(length=len(DATA))
            response.send(wrong)
            holding = self.successResultOf(opening)
            response.end()
            self.broken_off(holding, kind)
            self.assertEqual(bench.counts["server.mirror.unfit"], 1)

    def test_right_md5(self) -> None:
        """Jenkins' fingerprints are md5; one in upper case is the same."""
        digest = "md5:" + hashlib.md5(DATA).hexdigest().upper()
        build = artifact(DATA, digest=digest)
        self.bench.store(build, DATA)
        self.assertEqual(self.bench.mirror.sha256(build), hashlib.sha256(DATA).hexdigest())

    def test_end_without_a_mark(self) -> None:
        """Of a body that only the end of its connection ends, the digest must tell."""
        opening = self.bench.open(artifact(None))
        response = self.bench.source.last.answer()
        response.send(DATA)
        response.close()
        self.refused(opening, 502, "whole file")
        digest = "sha256:" + hashlib.sha256(DATA).hexdigest()
        opening = self.bench.open(artifact(None, digest=digest))
        response = self.bench.source.last.answer()
        response.send(DATA)
        response.close()
        self.assertEqual(read(self.successResultOf(opening)), DATA)

    def test_too_big(self) -> None:
        """Neither a header nor an endless body makes the server take more than its limit."""
        opening = self.bench.open(artifact(None))
        self.bench.source.last.answer(length=2**20 + 1)
        self.refused(opening, 502, "more than")
        opening = self.bench.open(artifact(None, number=2))
        response = self.bench.source.last.answer()
        response.send(apk(2**20))
        response.send(b"?")
        self.refused(opening, 502, "more than")

    def test_coded(self) -> None:
        """A content coding would change length and ranges."""
        opening = self.bench.open(BUILD)
        self.bench.source.last.answer(length=100, Content_Encoding="gzip")
        self.refused(opening, 502, "gzip")

    def test_part_that_nobody_asked_for(self) -> None:
        """A 206 to a request without Range is wrong."""
        opening = self.bench.open(BUILD)
        self.bench.source.last.answer(206, 100, Content_Range="bytes 0-99/50000")
        self.refused(opening, 502, "206")

    def test_other_bytes_than_before(self) -> None:
        """A build that comes back with other bytes, after its eviction, is refused."""
        build = artifact(None)
        bench = self.bench = self.start(keep=0, quota=10_000)
        bench.store(build, DATA)
        bench.mirror.current({})
        bench.mirror.service.stopService()
        bench = self.bench = bench.again(keep=0, quota=10_000)
        bench.shelf.upkeep()
        self.assertEqual(bench.files("files/*"), [])
        opening = bench.open(build)
        response = bench.source.last.answer(length=len(DATA))
        response.send(apk(len(DATA), seed=1))
        holding = self.successResultOf(opening)
        response.end()
        failure = self.failureResultOf(holding.wait(len(DATA) - 1), FillFailed)
        self.assertIn("before", str(failure.value))
        self.assertEqual(bench.files("files/*") + bench.files("parts/*"), [])


class SourceDownTests(MirrorTestCase):
    """A source that gives nothing."""

    def unavailable(self, build: Any = BUILD) -> Unavailable:
        """Open a build that cannot be had."""
        error = self.failureResultOf(self.bench.open(build), Unavailable).value
        assert isinstance(error, Unavailable)
        return error

    def test_says_no(self) -> None:
        """404 is the source's fault, an overload is temporary."""
        for number, (code, status) in enumerate(
            ((404, 502), (403, 502), (500, 503), (429, 503), (503, 503))
        ):
            opening = self.bench.open(artifact(DATA, number=number))
            self.bench.source.last.answer(code, 0)
            error = self.failureResultOf(opening, Unavailable).value
            assert isinstance(error, Unavailable)
            self.assertEqual(error.status, status, code)

    def test_cannot_be_reached(self) -> None:
        """Nobody waits for retries where nothing has come yet."""
        opening = self.bench.open(BUILD)
        self.bench.source.last.refuse(ConnectionRefusedError())
        self.failureResultOf(opening, Unavailable)
        self.assertEqual(self.bench.files("parts/*"), [])

    def test_hangs(self) -> None:
        """Headers must come within the door's deadline."""
        opening = self.bench.open(BUILD)
        self.bench.clock.advance(10)
        error = self.failureResultOf(opening, Unavailable).value
        assert isinstance(error, Unavailable)
        self.assertEqual(error.status, 503)

    def test_is_left_alone_for_a_while(self) -> None:
        """A failure stands for five seconds, the next one for ten, and so on."""
        self.bench.open(BUILD).addErrback(lambda _: None)
        self.bench.source.last.answer(404, 0)
        self.assertEqual(self.unavailable().retry_after, 5)
        self.bench.clock.advance(4.9)
        self.assertEqual(self.unavailable().retry_after, 1)
        self.assertEqual(len(self.bench.source.asked), 1)
        self.bench.clock.advance(0.1)
        self.bench.open(BUILD).addErrback(lambda _: None)
        self.bench.source.last.answer(404, 0)
        self.assertEqual(self.unavailable().retry_after, 10)
        self.assertEqual(len(self.bench.source.asked), 2)
        self.assertEqual(self.bench.mirror.status()["refused"][0]["failures"], 2)

    def test_asks_for_rest(self) -> None:
        """Retry-After of the source is passed on."""
        self.bench.open(BUILD).addErrback(lambda _: None)
        self.bench.source.last.answer(503, 0, Retry_After="120")
        self.assertEqual(self.unavailable().retry_after, 120)

    def test_recovers(self) -> None:
        """After a success the row of failures is forgotten."""
        self.bench.open(BUILD).addErrback(lambda _: None)
        self.bench.source.last.answer(404, 0)
        self.bench.clock.advance(5)
        self.bench.store(BUILD, DATA)
        self.assertEqual(self.bench.mirror.status()["refused"], [])

    def test_redirect_to_a_forbidden_host(self) -> None:
        """A redirect cannot lead to a private address."""
        opening = self.bench.open(BUILD)
        self.bench.source.last.answer(302, 0, Location="http://169.254.169.254/latest")
        error = self.failureResultOf(opening, Unavailable).value
        assert isinstance(error, Unavailable)
        self.assertEqual((error.status, len(self.bench.source.asked)), (502, 1))

    def test_redirect_loop(self) -> None:
        """A redirect to itself ends."""
        opening = self.bench.open(BUILD)
        while not opening.called:
            self.bench.source.last.answer(302, 0, Location=BUILD.url)
        self.failureResultOf(opening, Unavailable)
        self.assertLess(len(self.bench.source.asked), 10)

    def test_drips_for_ever(self) -> None:
        """A source that gives a byte now and then is given up after an hour."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        sent = 0
        while not response.closed:
            response.send(DATA[sent : sent + 4])
            sent += 4
            self.bench.clock.advance(20)
        self.assertEqual(self.bench.clock.seconds(), 3600)
        holding = self.successResultOf(opening)
        self.failureResultOf(holding.wait(len(DATA) - 1), FillFailed)
        self.assertEqual(self.bench.files("parts/*"), [])
