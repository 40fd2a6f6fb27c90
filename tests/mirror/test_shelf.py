"""Builds on disk: where they are, what is remembered of them, who uses them."""

from __future__ import annotations

import hashlib
import os

from metro_backend.mirror import index
from metro_backend.mirror.index import Index
from tests.mirror.scripted import NOW, MirrorTestCase, apk, artifact, read

DATA = apk(20_000)
BUILD = artifact(DATA)
SHA256 = hashlib.sha256(DATA).hexdigest()


class StoredTests(MirrorTestCase):
    """A build on the shelf."""

    def test_layout(self) -> None:
        """Files by content, an entry by build, the digest for later, and nothing else."""
        self.bench.store(BUILD, DATA)
        self.assertEqual(
            self.bench.files(),
            [
                f"files/{SHA256}.apk",
                f"index/{BUILD.identity}.json",
                f"known/{BUILD.identity}",
            ],
        )
        self.assertEqual((self.bench.directory / f"files/{SHA256}.apk").read_bytes(), DATA)

    def test_survives_a_restart(self) -> None:
        """A new process on the directory serves it with its source dead."""
        self.bench.store(BUILD, DATA)
        again = self.bench.again()
        self.assertEqual(read(self.successResultOf(again.open(BUILD))), DATA)
        self.assertEqual(again.mirror.sha256(BUILD), SHA256)
        self.assertEqual(len(again.source.asked), 1)

    def test_one_descriptor_for_all_readers(self) -> None:
        """Readers share a descriptor, which is closed with the last of them."""
        self.bench.store(BUILD, DATA)
        holdings = [self.successResultOf(self.bench.open(BUILD)) for _ in range(5)]
        fds = {holding.fileno() for holding in holdings}
        self.assertEqual(len(fds), 1)
        for holding in holdings:
            os.fstat(holding.fileno())
            holding.close()
            holding.close()
        self.assertRaises(OSError, os.fstat, fds.pop())

    def test_builds_with_the_same_bytes_share_a_file(self) -> None:
        """The file goes with the last build that it is."""
        other = artifact(DATA, branch="beta")
        self.bench.store(BUILD, DATA)
        self.bench.store(other, DATA)
        self.assertEqual(len(self.bench.files("files/*")), 1)
        self.assertEqual(self.bench.shelf.size(), len(DATA))
        bench = self.bench.again(ttl=10, keep=0)
        bench.mirror.current({other.filename: other})
        bench.clock.advance(11)
        bench.shelf.upkeep()
        self.assertIsNone(bench.shelf.entry(BUILD.identity))
        self.assertEqual(read(self.successResultOf(bench.open(other))), DATA)

    def test_digest_is_remembered_beyond_eviction(self) -> None:
        """The list of branches can still tell it."""
        self.bench.store(BUILD, DATA)
        bench = self.bench.again(ttl=1, keep=0)
        bench.mirror.current({})
        bench.clock.advance(2)
        bench.shelf.upkeep()
        self.assertEqual(bench.files("files/*"), [])
        self.assertEqual(bench.mirror.sha256(artifact(None, number=77)), None)
        self.assertEqual(bench.shelf.sha256(BUILD.identity), SHA256)
        self.assertEqual(bench.again().shelf.sha256(BUILD.identity), SHA256)

    def test_memory_of_digests_is_bounded(self) -> None:
        """The oldest are forgotten."""
        self.patch(index, "REMEMBERED", 3)
        kept = Index(self.bench.directory)
        names = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(5)]
        for age, name in enumerate(names):
            kept.remember(name, SHA256)
            os.utime(self.bench.directory / "known" / name, (NOW + age, NOW + age))
        self.bench.shelf.upkeep()
        self.assertEqual(set(kept.remembered()), set(names[2:]))

    def test_uses_are_recorded_lazily(self) -> None:
        """A use is in memory at once, and on disk with the next upkeep or at the end."""
        self.bench.store(BUILD, DATA)
        entry = self.bench.directory / "index" / f"{BUILD.identity}.json"
        self.bench.clock.advance(30)
        self.successResultOf(self.bench.open(BUILD)).close()
        self.assertEqual(entry.stat().st_mtime, NOW)
        self.bench.shelf.upkeep()
        self.assertEqual(entry.stat().st_mtime, NOW + 30)
        self.bench.clock.advance(5)
        self.successResultOf(self.bench.open(BUILD)).close()
        self.bench.mirror.service.stopService()
        self.assertEqual(entry.stat().st_mtime, NOW + 35)
