"""What a disk can do to the shelf, and what another process on it does."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from twisted.internet.defer import Deferred

from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import Unavailable
from metro_backend.mirror.index import Index
from metro_backend.mirror.scrub import Scrub
from tests.mirror.scripted import Bench, MirrorTestCase, apk, artifact, read

DATA = apk(20_000)
BUILD = artifact(DATA)
SHA256 = hashlib.sha256(DATA).hexdigest()


def corrupt(bench: Bench, data: bytes = DATA, at: int = 10_000) -> None:
    """Change one byte of a file on the shelf."""
    path = bench.directory / "files" / f"{hashlib.sha256(data).hexdigest()}.apk"
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))


class DamageTests(MirrorTestCase):
    """What a disk or a crash can do."""

    def test_scrub_finds_a_changed_byte(self) -> None:
        """The corrupt file goes, and a current build is fetched again by itself."""
        self.bench.store(BUILD, DATA)
        self.bench.mirror.current({BUILD.filename: BUILD})
        corrupt(self.bench)
        self.bench.clock.advance(60)
        self.assertEqual(self.bench.counts["server.mirror.corrupt"], 1)
        self.assertEqual(len(self.bench.source.asked), 2)
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        response.end()
        self.assertEqual(read(self.successResultOf(self.bench.open(BUILD))), DATA)

    def test_readers_after_a_scrub_get_the_new_file(self) -> None:
        """A reader that still has the corrupt file open does not lead others to it."""
        self.bench.store(BUILD, DATA)
        corrupt(self.bench)
        old = self.successResultOf(self.bench.open(BUILD))
        self.successResultOf(Deferred.fromCoroutine(self.bench.shelf.scrub(2**20)))
        self.bench.store(BUILD, DATA)
        self.assertNotEqual(read(old), DATA)
        self.assertEqual(read(self.successResultOf(self.bench.open(BUILD))), DATA)

    def test_scrub_goes_round_in_bounded_steps(self) -> None:
        """Each step reads at most its budget (by whole blocks), and in the end all was read."""
        datas = [apk(3 * 2**20, seed=n) for n in range(3)]
        files: dict[str, Path] = {}
        for data in datas:
            path = Path(self.mktemp())
            path.write_bytes(data)
            files[hashlib.sha256(data).hexdigest()] = path
        bad = files[sorted(files)[1]]
        with bad.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"?")
        scrub = Scrub()
        self.addCleanup(scrub.close)
        found = [scrub.step(files, 2**20) for _ in range(12)]
        self.assertEqual([each for step in found for each in step], [sorted(files)[1]])
        again = [scrub.step(files, 2**20) for _ in range(12)]
        self.assertEqual(len([each for step in again for each in step]), 1)

    def test_verify(self) -> None:
        """The whole shelf is read, and what is corrupt is named and removed."""
        other = apk(5000, seed=1)
        self.bench.store(BUILD, DATA)
        self.bench.store(artifact(other, branch="beta"), other)
        corrupt(self.bench)
        report = self.bench.shelf.verify()
        self.assertEqual((report.files, report.size), (2, 25_000))
        self.assertEqual(report.corrupt, (BUILD.filename,))
        self.assertEqual(self.bench.shelf.verify().corrupt, ())
        self.assertIsNone(self.bench.shelf.take(BUILD.identity))

    def test_file_cut_short(self) -> None:
        """A file of the wrong length is not served but fetched again."""
        self.bench.store(BUILD, DATA)
        os.truncate(self.bench.directory / "files" / f"{SHA256}.apk", 100)
        opening = self.bench.open(BUILD)
        self.assertNoResult(opening)
        self.bench.source.last.answer(length=len(DATA)).send(DATA)
        self.successResultOf(opening)

    def test_file_gone(self) -> None:
        """So is one that is not there any more."""
        self.bench.store(BUILD, DATA)
        (self.bench.directory / "files" / f"{SHA256}.apk").unlink()
        self.assertNoResult(self.bench.open(BUILD))
        self.assertEqual(self.bench.files("index/*"), [])

    def test_start_removes_what_a_crash_left(self) -> None:
        """Half files, files without an entry, entries without a file, torn entries."""
        self.bench.store(BUILD, DATA)
        directory = self.bench.directory
        (directory / "parts" / "dead-1.part").write_bytes(b"PK")
        orphan = directory / "files" / f"{'0' * 64}.apk"
        orphan.write_bytes(b"PK")
        entry = directory / "index" / f"{BUILD.identity}.json"
        missing = json.loads(entry.read_bytes())
        missing["artifact"]["stamp"] = "2"
        missing["sha256"] = "1" * 64
        gone = Artifact.from_json(missing["artifact"])
        (directory / "index" / f"{gone.identity}.json").write_text(json.dumps(missing))
        (directory / "index" / f"{'2' * 64}.json").write_text('{"format": 1, "art')
        (directory / "index" / "x.json").write_text("not ours")
        again = self.bench.again()
        self.assertEqual(
            again.files(),
            [
                f"files/{SHA256}.apk",
                f"index/{BUILD.identity}.json",
                "index/x.json",
                f"known/{BUILD.identity}",
            ],
        )
        self.successResultOf(again.open(BUILD)).close()

    def test_bad_entries(self) -> None:
        """An entry with anything out of place is as good as none."""
        self.bench.store(BUILD, DATA)
        path = self.bench.directory / "index" / f"{BUILD.identity}.json"
        good = json.loads(path.read_bytes())
        for change in (
            {"format": 2},
            {"sha256": "../../etc/passwd"},
            {"size": "1"},
            {"superseded_at": "x"},
            {"artifact": None},
            {"artifact": {**good["artifact"], "stamp": "other"}},
        ):
            path.write_text(json.dumps({**good, **change}))
            self.assertIsNone(Index(self.bench.directory).read(BUILD.identity), change)
            self.assertFalse(path.exists())


class SharedTests(MirrorTestCase):
    """Two servers on one directory."""

    def test_each_sees_what_the_other_stored(self) -> None:
        """At once when it is asked for, with the next upkeep in the list."""
        other = self.bench.again()
        other.store(BUILD, DATA)
        self.assertEqual(self.bench.shelf.entries(), [])
        self.bench.shelf.upkeep()
        self.assertEqual(len(self.bench.shelf.entries()), 1)
        third = self.bench.again()
        self.bench.store(artifact(DATA, branch="beta"), DATA)
        self.assertEqual(
            read(self.successResultOf(third.open(artifact(DATA, branch="beta")))), DATA
        )
        self.assertEqual(len(self.bench.source.asked), 2)

    def test_start_does_not_touch_a_fetch_of_the_other(self) -> None:
        """A half file whose writer lives is locked."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA[:1000])
        self.bench.again().shelf.upkeep()
        self.assertEqual(len(self.bench.files("parts/*")), 1)
        response.send(DATA[1000:])
        response.end()
        self.assertEqual(read(self.successResultOf(opening)), DATA)

    def test_both_fetch_the_same_build(self) -> None:
        """At worst it is fetched twice; both serve it, and one file is left."""
        other = self.bench.again()
        openings = [self.bench.open(BUILD), other.open(BUILD)]
        self.assertEqual(len(self.bench.source.asked), 2)
        for asked in self.bench.source.asked:
            response = asked.answer(length=len(DATA))
            response.send(DATA)
            response.end()
        for opening in openings:
            self.assertEqual(read(self.successResultOf(opening)), DATA)
        self.assertEqual(len(self.bench.files("files/*")), 1)
        self.assertEqual(self.bench.files("parts/*"), [])

    def test_file_that_is_just_being_named(self) -> None:
        """Between the rename and the entry a file has no name, but its writer's lock."""
        part = self.bench.shelf.begin(BUILD)
        part.write(DATA)
        part.path.replace(self.bench.directory / "files" / f"{SHA256}.apk")
        self.bench.again()
        self.assertEqual(len(self.bench.files("files/*")), 1)
        part.close()
        self.bench.again()
        self.assertEqual(self.bench.files("files/*"), [])

    def test_the_other_evicts(self) -> None:
        """A build that the other gave up is fetched again."""
        self.bench.store(BUILD, DATA)
        other = self.bench.again(ttl=1, keep=0)
        other.mirror.current({})
        self.bench.clock.advance(2)
        other.shelf.upkeep()
        self.assertNoResult(self.bench.open(BUILD))


class RefusingDiskTests(MirrorTestCase):
    """A disk that cannot be written."""

    def test_directory_in_the_way(self) -> None:
        """A shelf that cannot be made is a clear error for each download, and no crash."""
        directory = Path(self.mktemp())
        directory.write_text("a file")
        bench = Bench(directory / "shelf")
        error = self.failureResultOf(bench.open(BUILD), Unavailable).value
        assert isinstance(error, Unavailable)
        self.assertEqual(error.status, 503)
        self.assertIn("cannot be written", error.detail)
        self.assertGreater(bench.counts["server.mirror.disk"], 0)
        self.assertIsNotNone(bench.mirror.status()["shelf"]["problem"])
        bench.shelf.upkeep()

    def test_write_fails_in_the_middle(self) -> None:
        """Readers are told, nothing is left, and what is there is still served."""
        self.bench.store(BUILD, DATA)
        data = apk(30_000, seed=1)
        build = artifact(data, number=78)
        opening = self.bench.open(build)
        response = self.bench.source.last.answer(length=len(data))
        response.send(data[:20_000])
        holding = self.successResultOf(opening)
        # A descriptor that refuses to be written stands for a full disk.
        reading = os.open(self.bench.directory / "files" / f"{SHA256}.apk", os.O_RDONLY)
        os.dup2(reading, holding.fileno())
        os.close(reading)
        response.send(data[20_000:])
        failure = self.failureResultOf(holding.wait(len(data) - 1))
        self.assertIn("disk", str(failure.value))
        self.assertEqual(self.bench.files("parts/*"), [])
        self.assertEqual(self.bench.counts["server.mirror.disk"], 1)
        self.assertEqual(read(self.successResultOf(self.bench.open(BUILD))), DATA)

    def test_cannot_be_put_on_the_shelf(self) -> None:
        """Readers of a build that is whole get it even if its place cannot be written."""
        opening = self.bench.open(BUILD)
        response = self.bench.source.last.answer(length=len(DATA))
        response.send(DATA)
        holding = self.successResultOf(opening)
        (self.bench.directory / "files").rmdir()
        response.end()
        self.assertEqual(read(holding), DATA)
        self.assertEqual(self.bench.files("parts/*"), [])
        self.failureResultOf(self.bench.open(BUILD), Unavailable)
