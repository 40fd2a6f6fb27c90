"""A server's inner half in memory: a stand-in upstream, a clock, and a catalogue between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.branches.archive import Archive
from metro_backend.branches.catalogue import Catalogue
from metro_backend.branches.github import GitHub, GitHubReleases
from metro_backend.branches.jenkins import Jenkins
from metro_backend.branches.merge import Rules
from metro_backend.branches.model import Artifact, Snapshot
from metro_backend.branches.source import Source
from metro_backend.demo.standin import StandIn
from metro_backend.hosts import AllowedHosts
from metro_backend.store import Store
from metro_backend.store.embedded import EmbeddedStore
from metro_backend.upstream import Upstream

BASE = "http://127.0.0.1:8001"
START = 1_670_000_000.0
"""UTC Unix time at which a world begins."""

PROJECT = "/job/mosmetro-android-pipeline"
RELEASES = "/repos/mosmetro-android/mosmetro-android/releases"


class World:
    """One upstream, one disk, one store; instances of the server come and go."""

    def __init__(self, test: WorldTestCase) -> None:
        """Begin with the demonstration's content."""
        self.clock = Clock()
        self.clock.advance(START)
        self.stand_in = StandIn(self.clock)
        self.counts: Counter[str] = Counter()
        self.directory = Path(test.mktemp())
        self.directory.mkdir(parents=True)
        self.store: Store = EmbeddedStore(self.clock)
        self.ttl = 21600.0
        self.rules = Rules(stable=("play", "beta", "master"), publish_beta=False)
        self.bad: set[str] = set()
        """File names that prove bad when they are fetched before publishing."""
        self.prepared: list[str] = []

    def count(self, name: str, count: int = 1) -> None:
        """Count as the server does."""
        self.counts[name] += count

    def upstream(self) -> Upstream:
        """Make a door to the stand-in."""
        self.agent = RequestTraversalAgent(self.stand_in.resource())
        return Upstream(
            self.agent,
            self.clock,
            self.store,
            AllowedHosts.of(BASE),
            self.count,
            now=self.clock.seconds,
        )

    def github(self, token: str = "") -> GitHub:
        """Make the source for the stand-in's releases."""
        releases = GitHubReleases(
            self.upstream(), BASE, "mosmetro-android", "mosmetro-android", token
        )
        return GitHub(releases)

    def jenkins(self, *, hide_private: bool = True) -> Jenkins:
        """Make the source for the stand-in's builds."""
        return Jenkins(
            self.upstream(), BASE, "mosmetro-android-pipeline", hide_private=hide_private
        )

    def catalogue(self, sources: Sequence[Source] | None = None) -> Catalogue:
        """Make an instance's catalogue, not started yet."""

        async def prepare(artifacts: Sequence[Artifact]) -> Collection[str]:
            self.prepared += [artifact.filename for artifact in artifacts]
            return self.bad

        return Catalogue(
            clock=self.clock,
            sources=[self.github(), self.jenkins()] if sources is None else sources,
            archive=Archive(self.directory, self.store, self.count, self.clock),
            rules=self.rules,
            ttl=self.ttl,
            count=self.count,
            prepare=prepare,
            now=self.clock.seconds,
            spread=lambda: 0.5,
        )

    def started(self, sources: Sequence[Source] | None = None) -> Catalogue:
        """Make an instance's catalogue, and let it do what it does at once."""
        catalogue = self.catalogue(sources)
        catalogue.startService()
        self.pass_time(0.01)
        return catalogue

    def warm(self) -> tuple[Catalogue, Snapshot]:
        """Make an instance that has its first list."""
        catalogue = self.started()
        snapshot = catalogue.snapshot
        assert snapshot is not None, catalogue.source_errors
        return catalogue, snapshot

    def restarted(self, catalogue: Catalogue) -> Catalogue:
        """Stop the instance, lose the store, and start another one on the same disk."""
        catalogue.stopService()
        self.store = EmbeddedStore(self.clock)
        return self.started()

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in steps, and everything happen that is due."""
        left = seconds
        while left > 0:
            self.clock.advance(min(step, left))
            left -= step
            # Each round trip may cause the next one.
            for _ in range(6):
                self.agent.flush()

    def result_of(self, test: SynchronousTestCase, work: Any) -> Any:
        """Return what a coroutine or Deferred comes to without any time passing."""
        deferred = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        for _ in range(6):
            self.agent.flush()
        return test.successResultOf(deferred)


class WorldTestCase(SynchronousTestCase):
    """A test in a world of its own."""

    def setUp(self) -> None:
        """Begin a world."""
        self.world = World(self)

    def failure_of(self, work: Any, kind: type[Exception], passing: float = 0.0) -> Any:
        """Return the exception that a coroutine ends with, after so many seconds."""
        deferred = Deferred.fromCoroutine(work)
        for _ in range(6):
            self.world.agent.flush()
        if passing:
            self.world.pass_time(passing)
        return self.failureResultOf(deferred, kind).value
