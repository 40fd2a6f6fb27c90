"""`makeService`: the one place that knows every part, and wires them.

Nothing here connects, listens or writes: twistd calls `makeService` before it
daemonizes and gives up its privileges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool

from metro_backend import __version__
from metro_backend.api.surface import Parts, surface
from metro_backend.branches.archive import Archive
from metro_backend.branches.catalogue import Catalogue
from metro_backend.branches.github import GitHub, GitHubReleases
from metro_backend.branches.jenkins import Jenkins, basic_auth
from metro_backend.branches.merge import Rules
from metro_backend.branches.model import Artifact
from metro_backend.branches.module import Module
from metro_backend.branches.source import Source
from metro_backend.counting import Counting
from metro_backend.hosts import AllowedHosts
from metro_backend.mirror.mirror import Mirror
from metro_backend.mirror.responder import Responder
from metro_backend.mirror.shelf import Shelf
from metro_backend.options import Options, endpoints
from metro_backend.server import Site, WebService
from metro_backend.service import Root
from metro_backend.settings import Settings
from metro_backend.stats.counters import Vocabulary
from metro_backend.stats.datagrams import TwistedStatsDClient
from metro_backend.stats.history import History
from metro_backend.stats.statistics import Statistics
from metro_backend.stats.statsd import Metrics
from metro_backend.store import Store
from metro_backend.store.embedded import EmbeddedStore
from metro_backend.store.location import RedisLocation
from metro_backend.upstream import Upstream

__all__ = ["Options", "makeService"]

_log = Logger()

PREPARATION = 120.0
"""Seconds for which a list may wait for its new builds to be on the shelf."""


def makeService(options: Options) -> IService:
    """Build the whole service tree; its parts start in this order and stop in the reverse one."""
    from twisted.internet import reactor

    chosen = options.loaded.settings
    if options["verify-shelf"]:
        raise SystemExit(verify_shelf(chosen, reactor))
    prefix = "metro:"
    root = Root(options.log_observer())
    root.addService(_Greeting(options.loaded.warnings))
    if options["demo"]:
        from metro_backend.demo.service import DemoService

        demo = DemoService.bind(reactor)
        chosen = _with_demo(chosen, demo.url)
        root.addService(demo)
        # Each demo has addresses of its own, so its list is of no use to another one.
        prefix = f"metro:demo:{urlsplit(demo.url).port}:"
    for part in parts(chosen, reactor, prefix):
        root.addService(part)
    return root


def parts(chosen: Settings, reactor: Any, prefix: str) -> list[IService]:
    """Make every part of the server, each from the ones before it; `prefix` is for Redis' keys."""

    def count(name: str, count: int = 1) -> None:
        statistics.count(name, count)

    store = _store(chosen, reactor, count, prefix)
    history = History()
    statsd = (
        TwistedStatsDClient(reactor, reactor, reactor.nameResolver, *chosen.statsd)
        if chosen.statsd
        else None
    )
    metrics = Metrics(reactor, statsd, chosen.statsd_prefix, history.record)

    def vocabulary() -> Vocabulary:
        branches = catalogue.snapshot.branches if catalogue.snapshot else {}
        return Vocabulary(
            branches=frozenset(branches),
            versions=frozenset(str(branch.number) for branch in branches.values()),
        )

    statistics = Statistics(reactor, metrics, store, vocabulary, chosen.stats_max_names)

    pool = HTTPConnectionPool(reactor)
    allowed = AllowedHosts.of(
        chosen.github_api if chosen.github_user else "",
        chosen.jenkins_url,
        extra=chosen.mirror_hosts,
    )
    upstream = Upstream(Agent(reactor, pool=pool), reactor, store, allowed, count)
    jenkins_headers = basic_auth(chosen.jenkins_user, chosen.jenkins_token)

    def credentials(artifact: Artifact) -> Mapping[str, str]:
        return jenkins_headers if artifact.source == Jenkins.name else {}

    shelf = _shelf(chosen, reactor, count)
    mirror = Mirror(reactor, shelf, upstream, count, credentials=credentials)

    async def prepare(artifacts: Sequence[Artifact]) -> Collection[str]:
        return await _prefetch(mirror, artifacts, reactor)

    catalogue = Catalogue(
        clock=reactor,
        sources=_sources(chosen, upstream, jenkins_headers),
        archive=Archive(chosen.state_dir, store, count, reactor),
        rules=Rules(stable=chosen.branches_stable, publish_beta=chosen.github_beta),
        ttl=chosen.branches_ttl,
        count=count,
        prepare=prepare,
    )

    def published(_: object = None) -> None:
        current = catalogue.snapshot.artifacts() if catalogue.snapshot else {}
        mirror.current({**current, **(module.artifacts() if module else {})})

    module = _module(chosen, upstream, reactor, published)
    catalogue.on_change(published)

    def started(artifact: Artifact) -> None:
        statistics.download(artifact.branch, artifact.number)

    responder = Responder(
        reactor,
        count,
        started=started,
        sendfile=chosen.sendfile,
        root=chosen.state_dir / "shelf",
    )

    def inspection() -> Mapping[str, Any]:
        return {
            "version": __version__,
            "mirror": mirror.status(),
            "counters": history.recent(),
            "store": {"redis": bool(chosen.redis), "available": store.available},
            "statsd": {"address": statsd.address, "error": statsd.error} if statsd else None,
            "connections": len(site.channels),
        }

    made = Parts(
        catalogue=catalogue,
        mirror=mirror,
        responder=responder,
        statistics=statistics,
        module=module,
        store=store,
        inspection=inspection,
        draining=lambda: site.draining,
    )
    site = Site(surface(chosen, made), reactor, count)
    web = WebService(site, endpoints(chosen, reactor), reactor, chosen.drain)
    return [store.service, metrics.service, _Pool(pool), mirror.service, catalogue, web]


def verify_shelf(chosen: Settings, reactor: Any) -> int:
    """Read every kept build again, remove the corrupt ones, and return the exit status."""

    def count(name: str, count: int = 1) -> None:
        """There is nowhere to count to."""

    shelf = _shelf(chosen, reactor, count)
    shelf.open()
    report = shelf.verify()
    print(f"{report.files} files, {report.size} bytes read")
    for name in report.corrupt:
        print(f"corrupt, removed: {name}")
    return 1 if report.corrupt else 0


def _store(chosen: Settings, reactor: Any, count: Counting, prefix: str) -> Store:
    if not chosen.redis:
        return EmbeddedStore(reactor)
    from metro_backend.store.redis import RedisStore

    return RedisStore(reactor, RedisLocation.parse(chosen.redis), count, prefix=prefix)


def _shelf(chosen: Settings, reactor: Any, count: Counting) -> Shelf:
    return Shelf(
        chosen.state_dir / "shelf",
        quota=chosen.mirror_quota,
        ttl=chosen.mirror_ttl,
        keep=chosen.mirror_keep,
        clock=reactor,
        count=count,
        in_thread=deferToThread,
    )


def _sources(
    chosen: Settings, upstream: Upstream, jenkins_headers: Mapping[str, str]
) -> list[Source]:
    """Make the sources that are turned on; a new kind of source is one more line here."""
    sources: list[Source] = []
    if chosen.github_user:
        sources.append(GitHub(_releases(chosen, upstream, chosen.github_repo)))
    if chosen.jenkins_url:
        sources.append(
            Jenkins(
                upstream,
                chosen.jenkins_url,
                chosen.jenkins_project,
                hide_private=chosen.jenkins_private_branches,
                headers=jenkins_headers,
            )
        )
    return sources


def _releases(chosen: Settings, upstream: Upstream, repo: str) -> GitHubReleases:
    return GitHubReleases(
        upstream, chosen.github_api, chosen.github_user, repo, chosen.github_token
    )


def _module(
    chosen: Settings, upstream: Upstream, reactor: Any, changed: Callable[[], None]
) -> Module | None:
    if not (chosen.github_user and chosen.github_module_repo):
        return None
    releases = _releases(chosen, upstream, chosen.github_module_repo)
    return Module("captcha_recognition", releases, reactor, changed)


async def _prefetch(mirror: Mirror, artifacts: Sequence[Artifact], reactor: Any) -> Collection[str]:
    """Fetch new builds to the shelf; return the names of those whose bytes are wrong.

    A build that cannot be had now, or not in time, is published all the same:
    the list tells what there is, and the fetch goes on.
    """
    bad = []
    fetches = {
        artifact.filename: Deferred.fromCoroutine(mirror.prefetch(artifact))
        for artifact in artifacts
    }

    def give_up() -> None:
        for fetch in fetches.values():
            fetch.cancel()

    timer = reactor.callLater(PREPARATION, give_up)
    try:
        for artifact in artifacts:
            try:
                if not await fetches[artifact.filename] and mirror.is_wrong(artifact):
                    bad.append(artifact.filename)
            except CancelledError:
                if timer.active():
                    raise
    finally:
        if timer.active():
            timer.cancel()
    return bad


def _with_demo(chosen: Settings, url: str) -> Settings:
    """Point the sources at the stand-in, and away from a state that real instances share."""
    return replace(
        chosen,
        github_api=url,
        github_user="mosmetro-android",
        github_repo="mosmetro-android",
        github_token="",
        jenkins_url=url,
        jenkins_project="mosmetro-android-pipeline",
        jenkins_user="",
        jenkins_token="",
        state_dir=Path(chosen.state_dir) / "demo",
    )


class _Pool(Service):
    """Closes the connections to other servers in the end."""

    name = "pool"

    def __init__(self, pool: HTTPConnectionPool) -> None:
        self._pool = pool

    def stopService(self) -> Deferred[None]:
        super().stopService()
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


class _Greeting(Service):
    """Says what is starting, and what the operator should know about the settings."""

    name = "greeting"

    def __init__(self, warnings: tuple[str, ...]) -> None:
        self._warnings = warnings

    def startService(self) -> None:
        super().startService()
        _log.info("metro-backend {version}", version=__version__)
        for warning in self._warnings:
            _log.warn("{warning}", warning=warning)
