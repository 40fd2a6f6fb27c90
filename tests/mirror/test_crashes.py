"""Processes that are killed, and disks that refuse: the shelf stays as it was."""

from __future__ import annotations

import codecs
import hashlib
import os
import random
import resource
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import FillFailed, Unavailable
from metro_backend.mirror.holding import Holding
from tests.mirror.scripted import Bench, apk, artifact, read

SIZE = 60_000
NOBODY = 65534

# Another user may not be able to read the module, and so has to find it loaded.
codecs.lookup("ascii")


def child(work: Callable[[int], None]) -> tuple[int, int]:
    """Run work in a process of its own; returns its id and what it writes to."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        os.close(reading)
        work(writing)
        code = 0
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(code)


def build(number: int) -> tuple[Artifact, bytes]:
    """Make one of a row of builds."""
    data = apk(SIZE, seed=number)
    return artifact(data, number=number), data


class KillTests(SynchronousTestCase):
    """kill -9 at any moment."""

    rounds = 20

    def fill_for_ever(self, directory: Path, first: int) -> Callable[[int], None]:
        """Fetch build after build, and write a byte after each step."""

        def work(writing: int) -> None:
            bench = Bench(directory, keep=4, quota=SIZE)
            for number in range(first, first + 1000):
                wanted, data = build(number)
                bench.mirror.current({wanted.filename: wanted})
                bench.open(wanted)
                response = bench.source.last.answer(length=SIZE)
                for at in range(0, SIZE, 5000):
                    response.send(data[at : at + 5000])
                    os.write(writing, b".")
                response.end()
                # Only now is it promised to be there.
                os.write(writing, b"!")
                bench.shelf.upkeep()

        return work

    def check(self, directory: Path, last: int | None) -> None:
        """Expect a shelf on which everything is what it says."""
        bench = Bench(directory, keep=4, quota=SIZE)
        self.assertEqual(bench.files("parts/*"), [])
        named = {f"files/{entry.sha256}.apk" for entry in bench.shelf.entries()}
        self.assertEqual(set(bench.files("files/*")), named)
        for path in directory.glob("files/*.apk"):
            self.assertEqual(hashlib.sha256(path.read_bytes()).hexdigest(), path.stem)
        self.assertEqual(bench.shelf.verify().corrupt, ())
        self.assertLessEqual(len(named), 1 + 4 + 1)
        for entry in bench.shelf.entries():
            holding = self.successResultOf(bench.open(entry.artifact))
            self.assertEqual(read(holding), build(entry.artifact.number)[1])
            holding.close()
        if last is not None:
            self.assertIsNotNone(bench.shelf.entry(build(last)[0].identity))
        self.assertEqual(bench.source.asked, [])
        self.assertEqual(bench.counts["server.mirror.corrupt"], 0)
        bench.mirror.service.stopService()

    def test_killed_while_filling(self) -> None:
        """Whatever was promised is there, and nothing that is there is wrong."""
        directory = Path(self.mktemp())
        directory.mkdir()
        dice = random.Random(5)
        number, last = 0, None
        for _ in range(self.rounds):
            pid, reading = child(self.fill_for_ever(directory, number))
            seen = b""
            steps = dice.randrange(1, 40)
            while len(seen) < steps:
                seen += os.read(reading, steps - len(seen))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            while more := os.read(reading, 65536):
                seen += more
            os.close(reading)
            self.assertNotIn(b"Traceback", seen)
            done = seen.count(b"!")
            last = number + done - 1 if done else last
            self.check(directory, last)
            number += done + 1


class RefusalTests(SynchronousTestCase):
    """Disks that do not take what they are given."""

    def setUp(self) -> None:
        """Have a build on the shelf."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.stored, data = build(1)
        bench = Bench(self.directory)
        bench.store(self.stored, data)
        bench.mirror.service.stopService()

    def run_in_child(self, work: Callable[[Bench], None], before: Callable[[], object]) -> None:
        """Run work on a mirror in a process that `before` has limited."""

        def limited(writing: int) -> None:
            before()
            work(Bench(self.directory))

        pid, reading = child(limited)
        said = b""
        while more := os.read(reading, 65536):
            said += more
        os.close(reading)
        _, status = os.waitpid(pid, 0)
        if said or status:
            self.fail(said.decode() or f"status {status}")

    def serves_what_is_there(self, bench: Bench) -> None:
        """Expect the stored build."""
        holding = self.successResultOf(bench.open(self.stored))
        self.assertEqual(read(holding), build(1)[1])
        holding.close()
        bench.shelf.upkeep()
        self.assertIsNotNone(bench.shelf.entry(self.stored.identity))

    def refused(self, opening: Deferred[Holding], bench: Bench) -> None:
        """Expect a clear answer, counted."""
        error = self.failureResultOf(opening, Unavailable).value
        assert isinstance(error, Unavailable)
        self.assertEqual(error.status, 503)
        self.assertGreater(bench.counts["server.mirror.disk"], 0)
        self.serves_what_is_there(bench)

    def limit_files(self, size: int) -> Callable[[], object]:
        """Make the system refuse files beyond that size, as a full disk does."""
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    def test_no_room_for_the_file(self) -> None:
        """Room is set aside as soon as the length is known, so no reader is cut in the middle."""

        def work(bench: Bench) -> None:
            opening = bench.open(build(2)[0])
            response = bench.source.last.answer(length=SIZE)
            self.assertTrue(response.closed or opening.called)
            self.refused(opening, bench)
            self.assertEqual(bench.files("parts/*"), [])

        self.run_in_child(work, self.limit_files(SIZE - 1))

    def test_no_room_in_the_middle(self) -> None:
        """Where no length was known, the readers are told as soon as the disk refuses."""

        def work(bench: Bench) -> None:
            data = build(2)[1]
            opening = bench.open(artifact(None, number=2))
            response = bench.source.last.answer()
            for at in range(0, SIZE, 5000):
                response.send(data[at : at + 5000])
            self.assertTrue(response.closed)
            self.refused(opening, bench)
            self.assertEqual(bench.files("parts/*"), [])

        self.run_in_child(work, self.limit_files(SIZE // 2))

    def test_read_only_directory(self) -> None:
        """A shelf that cannot be written serves what is on it."""
        # trial's own directory may be closed to the user that the child becomes.
        parent = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, parent)
        parent.chmod(0o755)
        self.directory = Path(shutil.copytree(self.directory, parent / "shelf"))
        inside = (self.directory, *self.directory.rglob("*"))
        for path in inside:
            path.chmod(0o555 if path.is_dir() else 0o444)
        for path in inside:
            self.addCleanup(path.chmod, 0o755)

        def work(bench: Bench) -> None:
            self.refused(bench.open(build(2)[0]), bench)
            self.assertIsNotNone(bench.mirror.status()["shelf"]["problem"])
            bench.mirror.current({})
            bench.mirror.service.stopService()

        def before() -> None:
            if os.geteuid() == 0:
                # Nothing is read-only to root.
                os.setuid(NOBODY)

        self.run_in_child(work, before)

    def test_readers_of_a_file_that_the_disk_refuses(self) -> None:
        """They are told before they have the end."""

        def work(bench: Bench) -> None:
            wanted, data = build(2)
            opening = bench.open(wanted)
            response = bench.source.last.answer(length=SIZE)
            response.send(data[:20_000])
            holding = self.successResultOf(opening)
            end = holding.wait(SIZE - 1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
            response.send(data[20_000:])
            failure: Failure = self.failureResultOf(end, FillFailed)
            self.assertIn("disk", str(failure.value))
            self.serves_what_is_there(bench)

        self.run_in_child(work, lambda: None)
