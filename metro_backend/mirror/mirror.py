"""The builds that are kept here: which are current, where each is, and how to get one."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metro_backend.branches.model import Artifact
from metro_backend.counting import Counting
from metro_backend.log import Brake
from metro_backend.mirror.errors import FillFailed, NoRoom, Unavailable, WrongFile
from metro_backend.mirror.fill import Fill
from metro_backend.mirror.holding import Holding
from metro_backend.mirror.listed import Listed
from metro_backend.mirror.refusals import Refusals
from metro_backend.mirror.shelf import Shelf
from metro_backend.mirror.upkeep import Upkeep
from metro_backend.upstream import Upstream

SIZE_LIMIT = 256 * 1024 * 1024
"""Bytes that a build may have."""

FILLS = 16
"""Builds that may be fetched at once."""

PREFETCHES = 4
"""Builds that are fetched at once before anybody has asked for them."""

FILL_DEADLINE = 3600.0
"""Seconds that a fetch may take, however it drips."""

SPOILED = 100
"""Builds that are remembered for having come wrong."""

BUSY = 5
"""Seconds after which to ask again when too many builds are being fetched."""


class Mirror:
    """Gives out builds: from the shelf, or while they arrive."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        shelf: Shelf,
        upstream: Upstream,
        count: Counting,
        *,
        credentials: Callable[[Artifact], Mapping[str, str]] = lambda artifact: {},
        size_limit: int = SIZE_LIMIT,
    ) -> None:
        """Set up; nothing is touched before the service starts.

        Args:
            credentials: headers for the source of an artifact.
            size_limit: bytes that a build may have.
        """
        self._clock = clock
        self._shelf = shelf
        self._upstream = upstream
        self._count = count
        self._credentials = credentials
        self._size_limit = size_limit
        self._brake = Brake(self._log, clock)
        self._refusals = Refusals(clock)
        self._current: dict[str, Artifact] | None = None
        self._wanted: set[str] = set()
        self._fills: dict[str, Fill] = {}
        self._runs: dict[Fill, Deferred[None]] = {}
        self._finished: dict[str, list[Deferred[bool]]] = {}
        self._coming: set[str] = set()
        self._spoiled: dict[str, None] = {}
        self._line = DeferredSemaphore(PREFETCHES)
        self._idle: list[Deferred[None]] = []
        self._stopping = False
        self.service = Upkeep(
            clock,
            shelf,
            count,
            start=self._start,
            stop=self._stop,
            lost=self._lost,
            complete=self._complete,
        )
        """Opens the shelf, keeps it up, and ends what is being fetched."""

    def current(self, artifacts: Mapping[str, Artifact]) -> None:
        """Say which builds are published, by file name; those before stay findable while stored."""
        self._current = dict(artifacts)
        self._wanted.clear()
        if self.service.running:
            self._shelf.current(self._published())

    def find(self, filename: str) -> Artifact | None:
        """Find a build by file name: a current one, else a superseded one that is here."""
        artifact = (self._current or {}).get(filename)
        if artifact is not None:
            return artifact
        for fill in self._fills.values():
            if fill.artifact.filename == filename:
                return fill.artifact
        entry = self._shelf.named(filename)
        return entry.artifact if entry else None

    def tagged(self, branch: str, etags: Collection[bytes]) -> Artifact | None:
        """Find a build of a branch that is here or on its way, by any of these ETags."""
        fills = [fill.artifact for fill in self._fills.values()]
        stored = [entry.artifact for entry in self._shelf.entries()]
        for artifact in [*(self._current or {}).values(), *fills, *stored]:
            if artifact.branch == branch and artifact.etag in etags:
                return artifact
        return None

    def is_wrong(self, artifact: Artifact) -> bool:
        """Tell whether its source lately gave something else than the build, or has none."""
        return isinstance(self._refusals.last(artifact.identity), WrongFile)

    def spoiled(self, artifact: Artifact) -> bool:
        """Tell whether somebody may hold wrong bytes of a build, sent before it was checked."""
        return artifact.identity in self._spoiled

    def size(self, artifact: Artifact) -> int | None:
        """Bytes of a build, as far as that is known without asking anybody."""
        entry = self._shelf.entry(artifact.identity)
        fill = self._fills.get(artifact.identity)
        return entry.size if entry else artifact.size or (fill.total if fill else None)

    def sha256(self, artifact: Artifact) -> str | None:
        """Hex digest of a build: counted here, else as the source gave it, else None."""
        kind, _, digest = (artifact.digest or "").partition(":")
        given = digest.lower() if kind == "sha256" else None
        return self._shelf.sha256(artifact.identity) or given

    async def open(self, artifact: Artifact) -> Holding:
        """Get a build for one reader, who closes the holding.

        Returns as soon as the first bytes are there and are those of a ZIP file.

        Raises:
            Unavailable: if it is not on the shelf and cannot be fetched.
        """
        stored = self._shelf.take(artifact.identity)
        if stored is not None:
            return stored
        fill = self._fill(artifact)
        if fill.part.fd < 0 and fill.verified:
            return await self.open(artifact)
        following = fill.follow()
        try:
            await following.ready()
        except FillFailed as failure:
            following.close()
            raise self._unavailable(artifact, failure) from failure
        except BaseException:
            following.close()
            raise
        return following

    async def prefetch(self, artifact: Artifact) -> bool:
        """Have a build on the shelf, and tell whether it is; cancelling ends only the wait.

        A few are fetched at once, the others wait for their turn.
        """
        self._wanted.add(artifact.identity)
        await self._line.acquire()
        try:
            return await self._fetched(artifact)
        finally:
            self._line.release()

    async def _fetched(self, artifact: Artifact) -> bool:
        identity = artifact.identity
        stored = self._shelf.take(identity)
        if stored is not None:
            stored.close()
            return True
        try:
            fill = self._fill(artifact)
        except Unavailable:
            return False
        if self._fills.get(identity) is not fill:
            return self._shelf.entry(identity) is not None
        waiters = self._finished.setdefault(identity, [])
        waiter: Deferred[bool] = Deferred(waiters.remove)
        waiters.append(waiter)
        return await waiter

    def listing(self) -> list[Listed]:
        """List what can be had: current builds first, then the superseded, newest first."""
        current = {a.identity: a for a in (self._current or {}).values()}
        stored = {entry.identity: entry.artifact for entry in self._shelf.entries()}
        listed = [
            Listed.of(
                artifact,
                size=self.size(artifact),
                sha256=self.sha256(artifact),
                current=identity in current,
                stored=identity in stored,
            )
            for identity, artifact in {**stored, **current}.items()
        ]
        return sorted(listed, key=lambda each: (not each.current, -each.modified, each.name))

    def status(self) -> dict[str, Any]:
        """Return numbers for the status page, JSON-ready."""
        return {
            "shelf": self._shelf.status(),
            "fills": [
                {
                    "name": fill.artifact.filename,
                    "received": fill.part.size,
                    "total": fill.total,
                    "readers": fill.readers,
                    "resumes": fill.resumes,
                }
                for fill in self._fills.values()
            ],
            "refused": self._refusals.status(),
        }

    def _published(self) -> set[str]:
        return {artifact.identity for artifact in (self._current or {}).values()}

    def _start(self) -> None:
        self._stopping = False
        self._shelf.open()
        if self._current is not None:
            self._shelf.current(self._published())

    def _stop(self) -> Deferred[None]:
        self._stopping = True
        for fill, run in list(self._runs.items()):
            # One that is whole is on its way to disk, and is waited for.
            if not fill.verified:
                run.cancel()
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._tell_idle()
        return idle

    def _lost(self, artifact: Artifact) -> None:
        """Fetch a current build again whose file was found to be corrupt."""
        if artifact.identity in self._published():
            try:
                self._fill(artifact)
            except Unavailable:
                # Whoever asks for it makes the next try.
                self._brake.warn("refetch", lambda: f"{artifact.filename} cannot be refetched now")

    def _complete(self) -> None:
        """Fetch published builds that are not here, while their origin can be reached."""
        for artifact in (self._current or {}).values():
            identity = artifact.identity
            here = self._shelf.entry(identity) is not None or identity in self._coming
            if not here and self._refusals.standing(identity) is None:
                self._coming.add(identity)
                Deferred.fromCoroutine(self._bring(artifact)).addErrback(
                    lambda failure: self._log.failure("a missing build was not fetched", failure)
                )

    async def _bring(self, artifact: Artifact) -> None:
        try:
            await self.prefetch(artifact)
        finally:
            self._coming.discard(artifact.identity)

    def _fill(self, artifact: Artifact) -> Fill:
        """Return the fetch that is under way, or start one. Raises Unavailable."""
        fill = self._fills.get(artifact.identity)
        if fill is not None:
            return fill
        refused = self._refusals.standing(artifact.identity)
        if refused is not None:
            self._count("server.mirror.refused")
            raise self._unavailable(artifact, refused)
        if self._stopping or len(self._fills) >= FILLS:
            self._count("server.mirror.busy")
            raise Unavailable(503, BUSY, "too many builds are being fetched")
        try:
            part = self._shelf.begin(artifact)
        except NoRoom as error:
            self._count("server.mirror.no_room")
            raise Unavailable(503, 60, str(error)) from error
        fill = Fill(
            part,
            self._upstream,
            self._clock,
            headers=self._credentials(artifact),
            limit=self._size_limit,
            check=self._shelf.check,
            reserve=self._shelf.reserve,
            count=self._count,
        )
        self._count("server.mirror.fill")
        self._fills[artifact.identity] = fill
        # What fails at once has taken itself out of the set already.
        run = Deferred.fromCoroutine(self._run(fill))
        if not run.called:
            self._runs[fill] = run
        return fill

    async def _run(self, fill: Fill) -> None:
        """See a fetch through to the shelf, whatever becomes of it. Never raises."""
        identity = fill.artifact.identity
        stored = False
        try:
            await Deferred.fromCoroutine(fill.run()).addTimeout(FILL_DEADLINE, self._clock)
            await self._shelf.publish(fill.part, current=self._is_current(identity))
            stored = True
            self._refusals.forget(identity)
            self._count("server.mirror.filled")
        except FillFailed as error:
            self._failed(fill, error)
        except TimeoutError:
            self._failed(fill, FillFailed(f"not done within {FILL_DEADLINE:g} s", 503))
        except CancelledError:
            self._failed(fill, FillFailed("the server is being stopped", 503))
        except OSError as error:
            # Its readers have the whole and checked file; only the next ones will not.
            self._failed(fill, FillFailed(f"the shelf cannot be written: {error.strerror}", 503))
        except Exception:
            self._log.failure("the fill of {name} broke", name=fill.artifact.filename)
            self._failed(fill, FillFailed("an error of the server", 503))
        if not stored:
            self._shelf.drop(fill.part)
        self._fills.pop(identity, None)
        self._runs.pop(fill, None)
        fill.end()
        for waiter in self._finished.pop(identity, []):
            waiter.callback(stored)
        self._tell_idle()

    def _is_current(self, identity: str) -> bool:
        return self._current is None or identity in self._wanted | self._published()

    def _failed(self, fill: Fill, failure: FillFailed) -> None:
        self._count("server.mirror.fill_failed")
        if isinstance(failure, WrongFile) and fill.visible > 0:
            self._spoiled[fill.artifact.identity] = None
            if len(self._spoiled) > SPOILED:
                del self._spoiled[next(iter(self._spoiled))]
        # Noted before the readers hear of it, so that none of them starts it over.
        self._refusals.note(fill.artifact, failure)
        self._brake.warn("fill", lambda: f"{fill.artifact.filename}: {failure}")
        self._fills.pop(fill.artifact.identity, None)
        fill.fail(failure)

    def _unavailable(self, artifact: Artifact, failure: FillFailed) -> Unavailable:
        seconds = self._refusals.remaining(artifact.identity)
        return Unavailable(failure.status, max(1, math.ceil(seconds)), failure.detail)

    def _tell_idle(self) -> None:
        if not self._runs:
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)
