"""The whole server in memory: every route over the stand-in upstream, under a clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treq.testing import RequestTraversalAgent, StubTreq
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from metro_backend.api.surface import Parts, surface
from metro_backend.branches.catalogue import Catalogue
from metro_backend.branches.github import GitHubReleases
from metro_backend.branches.module import Module
from metro_backend.mirror.mirror import Mirror
from metro_backend.mirror.responder import Responder
from metro_backend.mirror.shelf import Shelf
from metro_backend.settings import load
from metro_backend.stats.counters import Vocabulary
from metro_backend.stats.history import History
from metro_backend.stats.statistics import Statistics
from metro_backend.stats.statsd import Metrics
from tests.doubles.world import BASE, World, WorldTestCase

HOST = "http://mosmetro.example"


class App:
    """An instance of the server in a world."""

    def __init__(self, world: World, **environ: str) -> None:
        """Take the environment variables without their prefix, in lower case."""
        self.world = world
        variables = {f"MOSMETRO_{name.upper()}": value for name, value in environ.items()}
        self.settings = load({}, variables).settings
        clock, count = world.clock, world.count
        upstream = world.upstream()
        self.upstream_agent = world.agent
        self.history = History(clock.seconds)
        self.metrics = Metrics(clock, None, record=self.history.record)
        self.catalogue: Catalogue = world.catalogue([world.github(), world.jenkins()])

        def vocabulary() -> Vocabulary:
            branches = self.catalogue.snapshot.branches if self.catalogue.snapshot else {}
            return Vocabulary(
                branches=frozenset(branches),
                versions=frozenset(str(each.number) for each in branches.values()),
            )

        self.statistics = Statistics(
            clock, self.metrics, world.store, vocabulary, now=clock.seconds
        )
        shelf = Shelf(
            world.directory / "shelf",
            quota=self.settings.mirror_quota,
            ttl=self.settings.mirror_ttl,
            keep=self.settings.mirror_keep,
            clock=clock,
            count=count,
            now=clock.seconds,
            free_floor=0,
        )
        self.mirror = Mirror(clock, shelf, upstream, count)
        self.responder = Responder(
            clock,
            count,
            started=lambda artifact: self.statistics.download(artifact.branch, artifact.number),
        )
        self.module = None
        if self.settings.github_module_repo:
            releases = GitHubReleases(
                upstream, BASE, "mosmetro-android", self.settings.github_module_repo
            )
            self.module = Module("captcha_recognition", releases, clock, self._published)
        self.catalogue.on_change(self._published)
        self.draining = False
        self.parts = Parts(
            catalogue=self.catalogue,
            mirror=self.mirror,
            responder=self.responder,
            statistics=self.statistics,
            module=self.module,
            store=world.store,
            inspection=lambda: {"mirror": self.mirror.status()},
            draining=lambda: self.draining,
            now=world.clock.seconds,
        )
        self.root = surface(self.settings, self.parts)
        self.agent = RequestTraversalAgent(self.root)
        self.treq: Any = StubTreq(self.root)

    def start(self) -> None:
        """Start what runs in the background, and let it do what it does at once."""
        self.mirror.service.startService()
        self.metrics.service.startService()
        self.catalogue.startService()
        self.pass_time(0.01)

    def stop(self) -> None:
        """Stop it again."""
        for service in (self.catalogue, self.metrics.service, self.mirror.service):
            service.stopService()
        self.pass_time(0.01)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, and everything happen that is due, on both sides of the server."""
        left = seconds
        while left > 0:
            self.world.clock.advance(min(step, left))
            left -= step
            self.flush()

    def flush(self) -> None:
        """Let what has been written arrive."""
        for _ in range(6):
            for agent in (self.upstream_agent, self.world.agent, self.agent):
                agent.flush()
            self.treq.flush()

    def counters(self) -> dict[str, int]:
        """Return what has been counted for the outside, by name."""
        self.metrics.flush()
        totals: dict[str, int] = self.history.recent()["totals"]
        return totals

    def _published(self, _: object = None) -> None:
        current = self.catalogue.snapshot.artifacts() if self.catalogue.snapshot else {}
        module = self.module.artifacts() if self.module else {}
        self.mirror.current({**current, **module})


class Reply:
    """An answer, read to its end."""

    def __init__(self, response: Any, body: bytes) -> None:
        """Take the response and its body."""
        self.code: int = response.code
        self.headers: Headers = response.headers.copy()
        if isinstance(response.length, int) and not self.headers.hasHeader("Content-Length"):
            # The client takes it out of the headers.
            self.headers.setRawHeaders("Content-Length", [str(response.length)])
        self.body = body

    def header(self, name: str) -> str | None:
        """Return the header's only value."""
        values = self.headers.getRawHeaders(name)
        if values is None:
            return None
        if len(values) != 1:
            raise AssertionError(f"{name}: {values}")
        return values[0]


class AppTestCase(WorldTestCase):
    """A test of the server in memory."""

    environ: Mapping[str, str] = {}

    def setUp(self) -> None:
        """Start a server."""
        super().setUp()
        self.app = App(self.world, **self.environ)
        self.addCleanup(lambda: self.app.stop())

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        passing: float = 0.0,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> Reply:
        """Send a request and read the answer, letting so much time pass in between.

        Headers may also be given by name, with underscores.
        """
        raw = Headers()
        for name, value in {**(headers or {}), **more}.items():
            raw.addRawHeader(name.replace("_", "-"), value)

        async def exchange() -> Reply:
            response = await self.app.treq.request(
                method,
                f"{HOST}{path}",
                data=body or None,
                headers=raw,
                allow_redirects=False,
            )
            return Reply(response, await response.content())

        asking = Deferred.fromCoroutine(exchange())
        self.app.flush()
        if passing:
            self.app.pass_time(passing, step=0.25)
        reply = self.successResultOf(asking)
        assert isinstance(reply, Reply)
        return reply
