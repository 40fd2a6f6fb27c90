"""A companion app that old versions ask for by ``?module=NAME`` (contract §1.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metro_backend.branches.github import GitHubReleases, asset_artifact, package
from metro_backend.branches.model import Artifact, published_filename
from metro_backend.branches.source import java_int
from metro_backend.upstream import UpstreamError
from metro_backend.waiting import Waiters

AGE = 3 * 3600.0
"""Seconds for which a list of the module's releases is good enough (contract §1.2)."""

PAUSE = 30.0
"""Seconds between tries while GitHub fails."""


class Module:
    """The newest stable release of the module; a question never waits for GitHub for long."""

    _log = Logger()

    def __init__(
        self,
        name: str,
        releases: GitHubReleases,
        clock: IReactorTime,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the module's name and repository; `changed` is called when its file is another."""
        self.name = name
        self.artifact: Artifact | None = None
        """The last file that is known."""
        self._releases = releases
        self._clock = clock
        self._changed = changed
        self._due_at = float("-inf")
        self._asking = False
        self._waiters = Waiters(clock)

    def artifacts(self) -> Mapping[str, Artifact]:
        """Return the file by its name, if there is one."""
        return {self.artifact.filename: self.artifact} if self.artifact else {}

    async def newest(self, patience: float) -> Artifact | None:
        """Return the file; one that is not known yet is waited for, at most so many seconds."""
        if not self._asking and self._clock.seconds() >= self._due_at:
            self._asking = True
            Deferred.fromCoroutine(self._ask()).addErrback(
                lambda failure: self._log.failure("asking for the module", failure)
            )
        if self.artifact is None and self._asking:
            await self._waiters.wait(patience)
        return self.artifact

    async def _ask(self) -> None:
        try:
            found = self._choose(await self._releases.page(1, keep=AGE))
            self._due_at = self._clock.seconds() + AGE
            if found is not None and found != self.artifact:
                self.artifact = found
                self._changed()
        except UpstreamError as error:
            self._due_at = self._clock.seconds() + max(PAUSE, error.retry_after or 0.0)
            self._log.warn("{name}: {error}", name=self.name, error=error)
        finally:
            self._asking = False
            self._waiters.fire()

    def _choose(self, releases: list[Mapping[str, object]]) -> Artifact | None:
        for release in releases:
            asset = package(release)
            if asset is None or release.get("draft") or release.get("prerelease") is not False:
                continue
            tag = str(release.get("tag_name"))[:64]
            number = java_int(tag) or 0
            # A module's tag need not be a number: no phone compares it.
            stem = self.name if number else f"{self.name}-{tag}"
            filename = published_filename(stem, by_build=False, number=number)
            return asset_artifact(self.name, number, filename, asset)
        return None
