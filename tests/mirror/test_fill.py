"""One fetch, many readers, and connections that are cut."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

from metro_backend.mirror.errors import FillFailed
from metro_backend.mirror.fill import BACK_OFF, HELD_BACK
from metro_backend.mirror.holding import Holding
from tests.mirror.scripted import MirrorTestCase, apk, artifact, read

DATA = apk(50_000)
BUILD = artifact(DATA)


class FollowingTests(MirrorTestCase):
    """Readers of a build that is still arriving."""

    def test_reader_waits_for_the_first_bytes(self) -> None:
        """Nothing is promised before the source has shown that it has a ZIP file."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:3])
        self.assertNoResult(opening)
        response.send(DATA[3:10_000])
        holding = self.successResultOf(opening)
        self.assertEqual((holding.size, holding.available), (len(DATA), 10_000))
        self.assertEqual(read(holding), DATA[:10_000])

    def test_reader_follows(self) -> None:
        """A reader that waits for a byte beyond the frontier is called when it is there."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:1000])
        holding = self.successResultOf(opening)
        near, far = holding.wait(1000), holding.wait(20_000)
        self.bench.clock.advance(1)
        response.send(DATA[1000:2000])
        self.successResultOf(near)
        self.assertNoResult(far)
        self.bench.clock.advance(1)
        response.send(DATA[2000:20_001])
        self.successResultOf(far)

    def test_crowd_is_called_at_a_pace(self) -> None:
        """Packets that come at once make one call to the readers, soon."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:1000])
        holding = self.successResultOf(opening)
        waiter = holding.wait(1000)
        response.send(DATA[1000:2000])
        self.assertNoResult(waiter)
        self.bench.clock.advance(0.01)
        self.successResultOf(waiter)

    def test_end_is_held_back_until_it_is_checked(self) -> None:
        """Without its last byte the source could still turn out wrong, so nobody gets the end."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:-1])
        holding = self.successResultOf(opening)
        self.assertEqual(holding.available, len(DATA) - HELD_BACK)
        end = holding.wait(len(DATA) - 1)
        response.send(DATA[-1:])
        self.assertNoResult(end)
        response.end()
        self.successResultOf(end)
        self.assertEqual(read(holding), DATA)
        self.assertEqual(holding.sha256, hashlib.sha256(DATA).hexdigest())

    def test_one_fetch_for_all(self) -> None:
        """Whoever comes while it runs joins it; afterwards the shelf serves."""
        openings = [self.bench.open(BUILD) for _ in range(5)]
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        late = self.bench.open(BUILD)
        response.end()
        after = self.bench.open(BUILD)
        for opening in [*openings, late, after]:
            holding = self.successResultOf(opening)
            self.assertEqual(read(holding), DATA)
            holding.close()
        self.assertEqual(len(self.bench.source.asked), 1)

    def test_readers_that_leave_do_not_stop_it(self) -> None:
        """The fetch goes on without its readers, waiting or not."""
        waiting = self.bench.open(BUILD)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        response = self.bench.source.last.answer(length=len(DATA))
        opening = self.bench.open(BUILD)
        response.send(DATA[:9000])
        self.successResultOf(opening).close()
        response.send(DATA[9000:])
        response.end()
        self.assertEqual(read(self.successResultOf(self.bench.open(BUILD))), DATA)
        self.assertEqual(len(self.bench.source.asked), 1)

    def test_one_reader_that_leaves_takes_nobody_with_it(self) -> None:
        """Cancelling one wait leaves the others'."""
        first, second = self.bench.open(BUILD), self.bench.open(BUILD)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.bench.source.last.answer(length=len(DATA)).send(DATA[:9000])
        self.successResultOf(second)

    def test_without_a_length_readers_wait_for_the_end(self) -> None:
        """No Content-Length can be promised before it is known."""
        build = artifact(None)
        opening = self.bench.open(build)
        response = self.bench.source.last.answer()
        response.send(DATA)
        self.bench.clock.advance(1)
        self.assertNoResult(opening)
        self.assertIsNone(self.bench.mirror.size(build))
        response.end()
        holding = self.successResultOf(opening)
        self.assertEqual((holding.size, read(holding)), (len(DATA), DATA))

    def test_length_from_the_list_of_builds(self) -> None:
        """Where the list of builds tells the length, a source without Content-Length will do."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer()
        response.send(DATA[:20_000])
        self.assertEqual(self.successResultOf(opening).size, len(DATA))
        response.send(DATA[20_000:])
        response.end()
        self.assertEqual(self.bench.files("parts/*"), [])

    def test_small_build(self) -> None:
        """A build smaller than what is held back comes whole, in the end."""
        data = apk(100)
        opening = self.bench.open(artifact(data))
        response = self.bench.source.last.answer(length=100)
        response.send(data)
        self.assertEqual(self.successResultOf(opening).available, 0)
        response.end()
        self.assertEqual(read(self.successResultOf(opening_again(self.bench, data))), data)

    def test_credentials(self) -> None:
        """The source's credentials go with the first request and with a resumption."""
        bench = self.start(credentials={"Authorization": "Basic dTpw"})
        bench.open(BUILD)
        response = bench.source.last.answer(length=len(DATA), ETag='"1"')
        response.send(DATA[:10])
        response.cut()
        bench.clock.advance(1)
        self.assertEqual(
            [asked.header("Authorization") for asked in bench.source.asked], ["Basic dTpw"] * 2
        )


def opening_again(bench: Any, data: bytes) -> Deferred[Holding]:
    """Open the same build once more."""
    opening: Deferred[Holding] = bench.open(artifact(data))
    return opening


class ResumptionTests(MirrorTestCase):
    """A connection that is cut in the middle."""

    def begin(self, build: Any = BUILD, sent: int = 20_000, **headers: str) -> Holding:
        """Have a source send so many bytes and lose the connection."""
        opening = self.bench.open(build)
        response = self.bench.source.last.answer(200, len(DATA), **headers)
        response.send(DATA[:sent])
        holding = self.successResultOf(opening)
        response.cut()
        self.bench.clock.advance(BACK_OFF[0])
        return holding

    def finish(self, start: int = 20_000) -> None:
        """Have it send the rest."""
        response = self.bench.source.last.answer(
            206, len(DATA) - start, Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        )
        response.send(DATA[start:])
        response.end()

    def check_failed(self, holding: Holding, text: str) -> None:
        """Expect the readers to be told, and nothing to be left."""
        failure = self.failureResultOf(holding.wait(len(DATA) - 1), FillFailed)
        self.assertIn(text, str(failure.value))
        self.assertEqual(self.bench.files("*/*"), [])

    def test_resumes_by_etag(self) -> None:
        """The rest is asked for by Range, under the condition of the same ETag."""
        holding = self.begin(ETag='"v1"', Last_Modified="Mon, 07 Nov 2022 19:40:00 GMT")
        asked = self.bench.source.last
        self.assertEqual(
            (asked.header("Range"), asked.header("If-Range")), ("bytes=20000-", '"v1"')
        )
        end = holding.wait(len(DATA) - 1)
        self.finish()
        self.successResultOf(end)
        self.assertEqual(read(holding), DATA)
        self.assertEqual(self.bench.counts["server.mirror.resumed"], 1)

    def test_resumes_by_date(self) -> None:
        """A weak ETag is worth nothing here, so the date is taken."""
        when = "Mon, 07 Nov 2022 19:40:00 GMT"
        self.begin(ETag='W/"v1"', Last_Modified=when)
        self.assertEqual(self.bench.source.last.header("If-Range"), when)

    def test_gives_up_after_five(self) -> None:
        """A source that cuts every time is resumed five times, each later than the last."""
        holding = self.begin(ETag='"v1"')
        got = 20_000
        for delay in [*BACK_OFF[1:], 100.0]:
            response = self.bench.source.last.answer(
                206, len(DATA) - got, Content_Range=f"bytes {got}-{len(DATA) - 1}/{len(DATA)}"
            )
            response.send(DATA[got : got + 100])
            got += 100
            response.cut()
            self.bench.clock.advance(delay)
        self.assertEqual(len(self.bench.source.asked), 1 + 5)
        self.check_failed(holding, "given up after 5")

    def test_stall_is_a_cut(self) -> None:
        """A connection over which nothing comes for 30 s is closed, and the fetch resumed."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA), ETag='"v1"')
        for at in range(0, 40_000, 10_000):
            response.send(DATA[at : at + 10_000])
            self.bench.clock.advance(29)
        self.assertFalse(response.closed)
        self.bench.clock.advance(1)
        self.assertTrue(response.closed)
        self.bench.clock.advance(BACK_OFF[0])
        self.assertEqual(self.bench.source.last.header("Range"), "bytes=40000-")
        self.finish(40_000)
        self.assertEqual(read(self.successResultOf(opening)), DATA)

    def test_source_away_for_a_while(self) -> None:
        """A source that cannot be reached, or is overloaded, is asked again."""
        holding = self.begin(ETag='"v1"')
        self.bench.source.last.refuse(ConnectionRefusedError())
        self.bench.clock.advance(BACK_OFF[1])
        self.bench.source.last.answer(503, 0, Retry_After="7")
        self.bench.clock.advance(6.9)
        self.assertEqual(len(self.bench.source.asked), 3)
        self.bench.clock.advance(0.1)
        self.finish()
        self.assertEqual(read(holding), DATA)

    def test_source_that_wants_long_rest(self) -> None:
        """Nobody is kept waiting for minutes."""
        holding = self.begin(ETag='"v1"')
        self.bench.source.last.answer(503, 0, Retry_After="600")
        self.check_failed(holding, "HTTP 503")

    def test_gone_in_the_middle(self) -> None:
        """A source that says no is not asked again."""
        holding = self.begin(ETag='"v1"')
        self.bench.source.last.answer(404, 0)
        self.check_failed(holding, "HTTP 404")

    def test_whole_file_instead_of_the_rest(self) -> None:
        """A source without ranges sends all of it again; the copy is held against what is there."""
        holding = self.begin(ETag='"v1"')
        response = self.bench.source.last.answer(200, len(DATA), ETag='"v1"')
        for at in range(0, len(DATA), 7000):
            response.send(DATA[at : at + 7000])
        response.end()
        self.assertEqual(read(holding), DATA)

    def test_whole_file_that_differs(self) -> None:
        """A copy that differs from what readers have is not served on."""
        holding = self.begin(ETag='"v1"')
        response = self.bench.source.last.answer(200, len(DATA), ETag='"v1"')
        response.send(DATA[:5000] + b"?" + DATA[5001:])
        self.check_failed(holding, "changed")

    def test_other_file_instead_of_the_rest(self) -> None:
        """A new ETag means a new file."""
        holding = self.begin(ETag='"v1"')
        self.bench.source.last.answer(200, len(DATA), ETag='"v2"')
        self.check_failed(holding, "changed")

    def test_other_date(self) -> None:
        """So does a new date."""
        holding = self.begin(Last_Modified="Mon, 07 Nov 2022 19:40:00 GMT")
        self.bench.source.last.answer(200, len(DATA), Last_Modified="Mon, 07 Nov 2022 19:40:01 GMT")
        self.check_failed(holding, "changed")

    def test_nothing_to_go_by(self) -> None:
        """Without validator and digest nobody can say whether the rest is of the same file."""
        holding = self.begin(artifact(None))
        response = self.bench.source.last.answer(
            206, 30_000, Content_Range=f"bytes 20000-{len(DATA) - 1}/{len(DATA)}"
        )
        self.check_failed(holding, "same file")
        self.assertTrue(response.closed)

    def test_digest_to_go_by(self) -> None:
        """With a digest the end will tell."""
        holding = self.begin()
        self.assertIsNone(self.bench.source.last.header("If-Range"))
        self.finish()
        self.assertEqual(read(holding), DATA)

    def test_wrong_parts(self) -> None:
        """Another part than was asked for, another length, or no Content-Range at all fails."""
        for number, field in enumerate(
            (
                f"bytes 10000-{len(DATA) - 1}/{len(DATA)}",
                f"bytes 20000-{len(DATA)}/{len(DATA) + 1}",
                "bytes */50000",
                "",
            )
        ):
            build = artifact(None, number=number)
            holding = self.begin(build, ETag='"v1"')
            self.bench.source.last.answer(206, 30_000, Content_Range=field)
            self.failureResultOf(holding.wait(len(DATA) - 1), FillFailed)

    def test_range_not_satisfiable(self) -> None:
        """A file that has become shorter is another file."""
        holding = self.begin(ETag='"v1"')
        self.bench.source.last.answer(416, 0)
        self.check_failed(holding, "HTTP 416")

    def test_cut_before_the_first_byte(self) -> None:
        """Where nothing has come, the whole is asked for again."""
        opening = self.bench.open(BUILD)
        self.bench.source.last.answer(length=len(DATA)).cut()
        self.bench.clock.advance(BACK_OFF[0])
        self.assertIsNone(self.bench.source.last.header("Range"))
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        response.end()
        self.assertEqual(read(self.successResultOf(opening)), DATA)
