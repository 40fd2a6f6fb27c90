"""What goes when there is too much on the shelf."""

from __future__ import annotations

import hashlib
import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from metro_backend.branches.model import Artifact
from metro_backend.mirror.errors import Unavailable
from metro_backend.mirror.index import Entry
from metro_backend.mirror.retention import evicted, expired, protected
from tests.mirror.scripted import Bench, MirrorTestCase, apk, artifact, read

DATA = apk(20_000)


class QuotaTests(MirrorTestCase):
    """What goes when there is too much."""

    def publish(self, bench: Bench, number: int, size: int = 4000) -> Artifact:
        """Have a new build replace the one before."""
        data = apk(size, seed=number)
        build = artifact(data, number=number)
        bench.clock.advance(1)
        bench.store(build, data)
        bench.mirror.current({build.filename: build})
        return build

    def test_thirty_builds(self) -> None:
        """With room for ten, the current one and the last used of the old ones stay."""
        bench = self.start(quota=40_000, keep=3)
        builds = []
        for number in range(30):
            builds.append(self.publish(bench, number))
            if number >= 5:
                # Somebody goes on downloading an old one.
                self.assertEqual(bench.mirror.find(builds[5].filename), builds[5])
                self.successResultOf(bench.open(builds[5])).close()
            on_disk = sum(p.stat().st_size for p in bench.directory.glob("*/*.apk"))
            self.assertLessEqual(on_disk, 40_000)
        left = [build.number for build in builds if bench.shelf.entry(build.identity)]
        self.assertEqual(left, [5, *range(21, 30)])

    def test_running_fetch_counts(self) -> None:
        """Room is made before a build arrives."""
        bench = self.start(quota=10_000, keep=0)
        for number in range(2):
            self.publish(bench, number)
        data = apk(5000)
        bench.open(artifact(data, number=9))
        bench.source.last.answer(length=5000).send(data[:100])
        self.assertEqual(len(bench.files("files/*")), 1)
        self.assertEqual(bench.shelf.size(), 9000)

    def test_running_fetch_of_unknown_size_counts(self) -> None:
        """Room is made for a build whose size only its source knows, as soon as that tells it."""
        bench = self.start(quota=10_000, keep=0)
        for number in range(2):
            self.publish(bench, number)
        data = apk(5000)
        bench.open(artifact(None, number=9))
        self.assertEqual(len(bench.files("files/*")), 2)
        bench.source.last.answer(length=5000).send(data[:100])
        self.assertEqual(len(bench.files("files/*")), 1)
        self.assertEqual(bench.shelf.size(), 9000)

    def test_current_and_kept_builds_stay(self) -> None:
        """The quota never takes what is current or among the last few of its branch."""
        bench = self.start(quota=1, keep=2)
        builds = [self.publish(bench, number) for number in range(5)]
        left = [build.number for build in builds if bench.shelf.entry(build.identity)]
        self.assertEqual(left, [2, 3, 4])

    def test_unused_builds_expire(self) -> None:
        """A superseded build goes when nobody has wanted it for a time, a current one never."""
        bench = self.start(ttl=100)
        first, second, third = (self.publish(bench, number) for number in range(3))
        bench.clock.advance(90)
        self.successResultOf(bench.open(second)).close()
        bench.clock.advance(60)
        bench.shelf.upkeep()
        self.assertIsNone(bench.mirror.find(first.filename))
        self.assertEqual(bench.mirror.find(second.filename), second)
        bench.clock.advance(1000)
        bench.shelf.upkeep()
        self.assertEqual([entry.artifact for entry in bench.shelf.entries()], [third])

    def test_free_floor(self) -> None:
        """When the disk is nearly full old builds go, and then new ones are refused."""
        bench = self.start(keep=0)
        old = self.publish(bench, 1)
        new = self.publish(bench, 2)
        bench = bench.again(keep=0, free_floor=2**60)
        bench.mirror.current({new.filename: new})
        self.failureResultOf(bench.open(artifact(DATA, number=3)), Unavailable)
        self.assertIsNone(bench.shelf.entry(old.identity))
        self.successResultOf(bench.open(new)).close()
        self.assertEqual(bench.counts["server.mirror.no_room"], 1)
        self.assertEqual(bench.files("parts/*"), [])

    def test_floor_of_a_small_disk(self) -> None:
        """By default a twentieth of a small disk is left to others, never more than 128 MiB."""
        bench = self.start(free_floor=None)
        disk = os.statvfs(bench.directory)
        free = disk.f_bavail * disk.f_frsize
        self.failureResultOf(bench.open(artifact(None, size=free)), Unavailable)
        floor = min(2**27, disk.f_blocks * disk.f_frsize // 20)
        if free < floor + 2**27:
            raise SkipTest("the disk is nearly full")
        self.assertNoResult(bench.open(artifact(None, size=free - floor - 2**26)))

    def test_reader_of_an_evicted_build_goes_on(self) -> None:
        """What is open stays readable."""
        bench = self.start(quota=1, keep=0)
        build = self.publish(bench, 1)
        holding = self.successResultOf(bench.open(build))
        self.publish(bench, 2)
        self.assertIsNone(bench.shelf.entry(build.identity))
        self.assertEqual(read(holding), apk(4000, seed=1))


def entries_of(kinds: list[tuple[int, int, int, bool]]) -> list[Entry]:
    """Make entries of (branch, content, size, current)."""
    return [
        Entry(
            artifact=artifact(None, branch=f"b{branch}", number=number),
            sha256=hashlib.sha256(str(content).encode()).hexdigest(),
            size=content * 10,
            stored_at=float(number),
            superseded_at=None if current else float(number),
        )
        for number, (branch, content, _, current) in enumerate(kinds)
    ]


KINDS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 5), st.integers(0, 9), st.booleans()), max_size=12
)


class RetentionTests(SynchronousTestCase):
    """The choice of what goes, for any shelf."""

    @settings(deadline=None, max_examples=200)
    @given(kinds=KINDS, keep=st.integers(0, 3), excess=st.integers(-5, 200))
    def test_choice(self, kinds: list[tuple[int, int, int, bool]], keep: int, excess: int) -> None:
        """Enough goes and no more, in the order of use, and never what is protected."""
        entries = entries_of(kinds)
        used = {e.identity: float(k[2]) for e, k in zip(entries, kinds, strict=True)}
        spared = protected(entries, keep)
        self.assertLessEqual({e.identity for e in entries if e.superseded_at is None}, spared)
        for branch in {e.artifact.branch for e in entries}:
            superseded = [e for e in entries if e.superseded_at is not None]
            mine = [e for e in superseded if e.artifact.branch == branch]
            self.assertEqual(len([e for e in mine if e.identity in spared]), min(keep, len(mine)))
        chosen = evicted(entries, used, spared, excess)
        self.assertFalse({e.identity for e in chosen} & spared)
        times = [used[e.identity] for e in chosen]
        self.assertEqual(times, sorted(times))

        def freed(gone: list[Entry]) -> int:
            left = {e.sha256 for e in entries if e not in gone}
            return sum({e.sha256: e.size for e in gone if e.sha256 not in left}.values())

        could = [e for e in entries if e.identity not in spared]
        self.assertGreaterEqual(freed(chosen), min(excess, freed(could)))
        if chosen:
            self.assertLess(freed(chosen[:-1]), excess)
        self.assertEqual(expired(entries, used, -1.0), [])
        self.assertEqual(
            {e.identity for e in expired(entries, used, 1e9)},
            {e.identity for e in entries if e.superseded_at is not None},
        )
