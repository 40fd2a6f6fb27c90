"""Which builds are current, which can still be had, and how they come to the shelf."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from metro_backend.mirror.errors import FillFailed, Unavailable
from metro_backend.mirror.mirror import FILLS, PREFETCHES
from metro_backend.mirror.upkeep import PERIOD
from tests.mirror.scripted import NOW, MirrorTestCase, apk, artifact, read

DATA = apk(20_000)
BUILD = artifact(DATA)
NEWER = artifact(apk(20_000, seed=1), number=78)


class NamesTests(MirrorTestCase):
    """Finding builds by file name."""

    def test_current_build(self) -> None:
        """A published build is found whether it is on the shelf or not."""
        self.bench.mirror.current({BUILD.filename: BUILD})
        self.assertEqual(self.bench.mirror.find(BUILD.filename), BUILD)
        self.assertIsNone(self.bench.mirror.find("other.apk"))

    def test_superseded_build(self) -> None:
        """Yesterday's link goes on while the file is here, after a restart, too."""
        self.bench.mirror.current({BUILD.filename: BUILD})
        self.bench.store(BUILD, DATA)
        self.bench.mirror.current({NEWER.filename: NEWER})
        for bench in (self.bench, self.bench.again()):
            self.assertEqual(bench.mirror.find(BUILD.filename), BUILD)
            self.assertEqual(read(self.successResultOf(bench.open(BUILD))), DATA)
            entry = bench.shelf.entry(BUILD.identity)
            assert entry is not None
            self.assertEqual(entry.superseded_at, NOW)

    def test_superseded_build_that_was_never_fetched(self) -> None:
        """Nobody wanted it then, and nobody can have it now."""
        self.bench.mirror.current({BUILD.filename: BUILD})
        self.bench.mirror.current({NEWER.filename: NEWER})
        self.assertIsNone(self.bench.mirror.find(BUILD.filename))

    def test_superseded_while_it_is_fetched(self) -> None:
        """It is found all the time, and is on the shelf as an old one in the end."""
        self.bench.mirror.current({BUILD.filename: BUILD})
        self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:9000])
        self.bench.mirror.current({NEWER.filename: NEWER})
        self.assertEqual(self.bench.mirror.find(BUILD.filename), BUILD)
        response.send(DATA[9000:])
        response.end()
        entry = self.bench.shelf.entry(BUILD.identity)
        assert entry is not None
        self.assertIsNotNone(entry.superseded_at)
        self.assertEqual(self.bench.mirror.find(BUILD.filename), BUILD)

    def test_current_again(self) -> None:
        """A build that is published again is current again."""
        self.bench.store(BUILD, DATA)
        self.bench.mirror.current({})
        self.bench.mirror.current({BUILD.filename: BUILD})
        entry = self.bench.again().shelf.entry(BUILD.identity)
        assert entry is not None
        self.assertIsNone(entry.superseded_at)

    def test_file_replaced_under_its_name(self) -> None:
        """The name leads to the new upload."""
        self.bench.store(BUILD, DATA)
        data = apk(20_000, seed=2)
        upload = artifact(data, stamp="2")
        self.bench.mirror.current({upload.filename: upload})
        self.assertEqual(self.bench.mirror.find(BUILD.filename), upload)
        self.assertNotEqual(upload.etag, BUILD.etag)

    def test_by_etag(self) -> None:
        """A half-done download under a branch's address leads to the build that it began with."""
        self.bench.store(BUILD, DATA)
        self.bench.mirror.current({NEWER.filename: NEWER})
        coming = artifact(DATA, number=79)
        self.bench.open(coming)
        tagged = self.bench.mirror.tagged
        self.assertEqual(tagged("play", {BUILD.etag, b'"x"'}), BUILD)
        self.assertEqual(tagged("play", {NEWER.etag}), NEWER)
        self.assertEqual(tagged("play", {coming.etag}), coming)
        self.assertIsNone(tagged("beta", {BUILD.etag}))
        self.assertIsNone(tagged("play", {b'"x"'}))

    def test_current_before_the_start(self) -> None:
        """The list of branches may come before the shelf is open."""
        self.bench.store(BUILD, DATA)
        self.bench.mirror.service.stopService()
        self.bench.mirror.current({NEWER.filename: NEWER})
        self.bench.mirror.service.startService()
        entry = self.bench.shelf.entry(BUILD.identity)
        assert entry is not None
        self.assertIsNotNone(entry.superseded_at)


class CompletingTests(MirrorTestCase):
    """Published builds that are not here."""

    def test_fetched_without_a_reader(self) -> None:
        """They are fetched in the background, each once."""
        self.bench.mirror.current({BUILD.filename: BUILD})
        self.bench.clock.advance(PERIOD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        response.end()
        self.bench.clock.advance(PERIOD)
        self.assertEqual(len(self.bench.source.asked), 1)
        self.assertIsNotNone(self.bench.shelf.entry(BUILD.identity))

    def test_source_that_fails(self) -> None:
        """One that cannot be had is tried again later, and no warning is lost on it."""
        self.bench.mirror.current({BUILD.filename: BUILD})
        self.bench.clock.advance(PERIOD)
        self.bench.source.last.answer(404)
        self.assertTrue(self.bench.mirror.is_wrong(BUILD))
        for _ in range(60):
            self.bench.clock.advance(PERIOD)
        self.assertGreater(len(self.bench.source.asked), 1)


class PrefetchTests(MirrorTestCase):
    """Having a build on the shelf before it is published."""

    def prefetch(self, build: Any = BUILD) -> Deferred[bool]:
        """Begin."""
        return Deferred.fromCoroutine(self.bench.mirror.prefetch(build))

    def test_done(self) -> None:
        """It is done when the file is on the shelf, at once when it is there already."""
        first, second = self.prefetch(), self.prefetch()
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        self.assertNoResult(first)
        response.end()
        self.assertTrue(self.successResultOf(first))
        self.assertTrue(self.successResultOf(second))
        self.assertTrue(self.successResultOf(self.prefetch()))
        self.assertEqual(len(self.bench.source.asked), 1)

    def test_is_not_superseded_before_it_is_published(self) -> None:
        """A build that is fetched ahead belongs to the list that comes next."""
        self.bench.mirror.current({NEWER.filename: NEWER})
        self.prefetch()
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        response.end()
        entry = self.bench.shelf.entry(BUILD.identity)
        assert entry is not None
        self.assertIsNone(entry.superseded_at)

    def test_bad_build(self) -> None:
        """A build that cannot be had is not published."""
        prefetching = self.prefetch()
        self.bench.source.last.answer(404, 0)
        self.assertFalse(self.successResultOf(prefetching))
        self.assertFalse(self.successResultOf(self.prefetch()))

    def test_source_that_fails_at_once(self) -> None:
        """A failure before the first wait is a failure, too."""
        build = artifact(DATA, url="http://elsewhere.example/x.apk")
        self.assertFalse(self.successResultOf(self.prefetch(build)))
        self.failureResultOf(self.bench.open(build), Unavailable)

    def test_wrong_build(self) -> None:
        """What the source does not have, or gives wrongly, is told from what it cannot give now."""
        mirror, source = self.bench.mirror, self.bench.source
        for number, (code, wrong) in enumerate(
            ((404, True), (410, True), (403, False), (503, False))
        ):
            build = artifact(DATA, number=number)
            self.prefetch(build)
            source.last.answer(code, 0)
            self.assertEqual(mirror.is_wrong(build), wrong, code)
        build = artifact(DATA, number=50)
        self.assertFalse(mirror.is_wrong(build))
        self.prefetch(build)
        source.last.answer(length=len(DATA)).send(b"<html>")
        self.bench.clock.advance(1000)
        self.assertTrue(mirror.is_wrong(build))
        self.bench.store(build, DATA)
        self.assertFalse(mirror.is_wrong(build))

    def test_a_few_at_once(self) -> None:
        """Many new builds are fetched one after the other, whatever becomes of each."""
        builds = [artifact(DATA, number=number) for number in range(PREFETCHES + 3)]
        prefetching = [self.prefetch(build) for build in builds]
        self.assertEqual(len(self.bench.source.asked), PREFETCHES)
        self.bench.source.asked[0].answer(404, 0)
        self.assertEqual(len(self.bench.source.asked), PREFETCHES + 1)
        prefetching[1].cancel()
        self.failureResultOf(prefetching[1], CancelledError)
        self.assertEqual(len(self.bench.source.asked), PREFETCHES + 2)
        prefetching[-1].cancel()
        self.failureResultOf(prefetching[-1], CancelledError)
        for asked in self.bench.source.asked[1:]:
            response = asked.answer(length=len(DATA))
            response.send(DATA)
            response.end()
        self.assertEqual(
            [self.successResultOf(each) for each in prefetching[2:-1]],
            [True] * PREFETCHES,
        )
        self.assertIsNotNone(self.bench.shelf.entry(builds[1].identity))

    def test_impatience_stops_only_the_wait(self) -> None:
        """Whoever waits too long leaves; the build arrives nevertheless."""
        prefetching = self.prefetch()
        prefetching.cancel()
        self.failureResultOf(prefetching, CancelledError)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        response.end()
        self.assertIsNotNone(self.bench.shelf.entry(BUILD.identity))


class ListingTests(MirrorTestCase):
    """What is told about the builds."""

    def test_listing(self) -> None:
        """Current builds first, stored or not, then the superseded, newest first."""
        older = artifact(apk(9000), number=76)
        self.bench.store(older, apk(9000))
        self.bench.store(BUILD, DATA)
        jenkins = artifact(None, branch="master", number=5, source="jenkins")
        self.bench.mirror.current({NEWER.filename: NEWER, jenkins.filename: jenkins})
        listed = self.bench.mirror.listing()
        self.assertEqual(
            [(each.name, each.current, each.stored, each.size) for each in listed],
            [
                (NEWER.filename, True, False, 20_000),
                (jenkins.filename, True, False, None),
                (BUILD.filename, False, True, 20_000),
                (older.filename, False, True, 9000),
            ],
        )
        self.assertEqual([each.sha256 is None for each in listed], [False, True, False, False])
        self.assertEqual(listed[0].sha256, (NEWER.digest or "").removeprefix("sha256:"))

    def test_size_while_it_arrives(self) -> None:
        """A length that only the source's answer tells is known from then on."""
        build = artifact(None)
        self.assertIsNone(self.bench.mirror.size(build))
        self.bench.open(build)
        response = self.bench.source.last.answer(length=len(DATA))
        self.assertEqual(self.bench.mirror.size(build), len(DATA))
        response.send(DATA)
        response.end()
        self.assertEqual(self.bench.again().mirror.size(build), len(DATA))

    def test_status(self) -> None:
        """The status is JSON, and tells of running and failed fetches."""
        self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:9000])
        self.bench.open(NEWER).addErrback(lambda _: None)
        self.bench.source.last.answer(404, 0)
        status = json.loads(json.dumps(self.bench.mirror.status()))
        running = {"name": BUILD.filename, "received": 9000, "total": 20_000}
        self.assertEqual(status["fills"], [{**running, "readers": 1, "resumes": 0}])
        self.assertEqual(status["refused"][0]["name"], NEWER.filename)
        self.assertEqual(status["shelf"]["size"], 20_000)


class SameETagTests(MirrorTestCase):
    """The ETag of a build."""

    def test_never_changes(self) -> None:
        """Cold, arriving, warm, after a restart, after eviction, on another instance."""
        other = self.start()
        opening, elsewhere = self.bench.open(BUILD), other.open(BUILD)
        tags = {BUILD.etag}
        for bench, each in ((self.bench, opening), (other, elsewhere)):
            response = bench.source.last.answer(length=len(DATA), ETag=f'"{id(bench)}"')
            response.send(DATA)
            tags.add(self.successResultOf(each).artifact.etag)
            response.end()
            tags.add(self.successResultOf(bench.open(BUILD)).artifact.etag)
        again = self.bench.again(ttl=1, keep=0)
        entry = again.shelf.named(BUILD.filename)
        assert entry is not None
        tags.add(entry.artifact.etag)
        again.mirror.current({})
        again.clock.advance(2)
        again.shelf.upkeep()
        again.mirror.current({BUILD.filename: BUILD})
        again.store(BUILD, DATA)
        tags.add(self.successResultOf(again.open(BUILD)).artifact.etag)
        self.assertEqual(tags, {BUILD.etag})


class ServiceTests(MirrorTestCase):
    """Start, upkeep and stop."""

    def test_stop_ends_fetches(self) -> None:
        """Their readers are told, half files go, and no new fetch starts."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:9000])
        holding = self.successResultOf(opening)
        end = holding.wait(19_999)
        self.successResultOf(self.bench.mirror.service.stopService())
        self.failureResultOf(end, FillFailed)
        self.assertTrue(response.closed)
        self.assertEqual(self.bench.files("*/*"), [])
        self.failureResultOf(self.bench.open(NEWER), Unavailable)
        self.assertEqual(self.bench.clock.getDelayedCalls(), [])

    def test_stop_waits_for_the_disk(self) -> None:
        """A file that is whole and being flushed reaches the shelf."""
        flushing: list[tuple[Any, Deferred[Any]]] = []

        def later(work: Any) -> Deferred[Any]:
            flushing.append((work, Deferred()))
            return flushing[-1][1]

        bench = self.start(in_thread=later)
        opening = bench.open(BUILD)
        response = bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        response.end()
        self.assertEqual(read(self.successResultOf(opening)), DATA)
        stopping = bench.mirror.service.stopService()
        self.assertNoResult(stopping)
        work, done = flushing.pop()
        done.callback(work())
        self.successResultOf(stopping)
        self.assertIsNotNone(bench.again().shelf.entry(BUILD.identity))

    def test_disk_that_never_answers(self) -> None:
        """Stopping waits for it no longer than ten seconds."""
        bench = self.start(in_thread=lambda work: Deferred())
        bench.open(BUILD)
        response = bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        response.end()
        stopping = bench.mirror.service.stopService()
        bench.clock.advance(10)
        self.successResultOf(stopping)
        self.assertEqual(bench.counts["server.mirror.stop_timeout"], 1)

    def test_upkeep_goes_on_after_an_error(self) -> None:
        """A round that fails is logged and counted; the next one runs."""

        def broken(work: Any) -> Deferred[Any]:
            raise RuntimeError("broken")

        bench = self.start(in_thread=broken)
        for _ in range(3):
            bench.clock.advance(60)
        self.assertEqual(bench.counts["server.mirror.upkeep_failed"], 3)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)

    def test_too_many_fetches_at_once(self) -> None:
        """One more than the limit is asked to come again."""
        for number in range(FILLS):
            self.bench.open(artifact(DATA, number=number))
        error = self.failureResultOf(self.bench.open(artifact(DATA, number=99)), Unavailable).value
        assert isinstance(error, Unavailable)
        self.assertEqual((error.status, error.retry_after), (503, 5))
        self.assertEqual(len(self.bench.source.asked), FILLS)

    def test_restart_of_the_service(self) -> None:
        """A mirror that was stopped can be started again."""
        self.bench.mirror.service.stopService()
        self.bench.mirror.service.startService()
        self.bench.store(BUILD, DATA)
        self.assertEqual(read(self.successResultOf(self.bench.open(BUILD))), DATA)
