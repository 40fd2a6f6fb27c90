"""Builds on Jenkins: every job of a multibranch project is a branch (contract §2.4, §2.5)."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from twisted.internet.defer import DeferredSemaphore

from metro_backend.branches.model import Artifact, Branch, published_filename
from metro_backend.branches.source import Reading, SourceError, item, java_int, text, together
from metro_backend.upstream import Upstream, UpstreamError

T = TypeVar("T")

PARALLEL = 4
"""Calls to Jenkins at once."""

YEAR_10000 = 253_402_300_800_000
"""Milliseconds of UTC Unix time that no calendar shows any more."""

HOPELESS = 10
"""Readings after which a first list is made without a job that never can be read.

By the back-off of a cold start that is some minutes: a fault passes, and one
broken job must not keep the others from everybody for ever.
"""

WALK = 10
"""Builds that are walked back at most in search of a commit message."""

BUILD_AGE = 7 * 86400.0
"""Seconds for which a finished build's page is kept: it cannot change."""

NAME_LIMIT = 200
"""Characters of a job's name; nobody types a longer one."""

PROJECT_TREE = "jobs[name,color]"
JOB_TREE = "description,buildable,lastSuccessfulBuild[number,url,timestamp]"
BUILD_TREE = (
    "number,timestamp,artifacts[relativePath],fingerprint[fileName,hash],"
    "changeSet[items[msg]],changeSets[items[msg]]"
)

NO_COMMITS = "¯\\_(ツ)_/¯"
"""What a build without a known commit has said since 2017."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job's page: what its newest good build is."""

    description: str | None
    buildable: bool
    number: int | None
    """The last successful build; None if there never was one."""
    timestamp: int
    """Milliseconds; tells a build from the same number of a job created anew."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build's page."""

    path: str | None
    """The artifact's relativePath; None if it has none that phones can install."""
    md5: str | None
    timestamp: int
    commits: tuple[str, ...]


class _Unusable(Exception):
    """The job says clearly that it has nothing for phones."""


def read_project(value: Any) -> list[tuple[str, bool]]:
    """Return (name, enabled) of each job. Raises ValueError."""
    jobs = item(value, "jobs", list, "project")
    found = []
    for job in jobs:
        name = item(job, "name", str, "job")
        color = job.get("color")
        # A folder has no colour, and no builds either.
        usable = 0 < len(name) <= NAME_LIMIT and text(name) == name
        if usable and isinstance(color, str):
            found.append((name, not color.startswith("disabled")))
    if not found:
        raise ValueError("the project lists no jobs")
    return found


def read_job(value: Any) -> Job:
    """Read a job's page. Raises ValueError."""
    if not isinstance(value, dict) or "lastSuccessfulBuild" not in value:
        raise ValueError("the job does not say what its last successful build is")
    last = value["lastSuccessfulBuild"]
    number = None
    if last is not None:
        number = java_int(item(last, "number", int, "last successful build"))
        if number is None:
            raise ValueError("the build's number is not one that phones can read")
    return Job(
        description=text(value.get("description")),
        buildable=value.get("buildable", True) is not False,
        number=number,
        timestamp=_milliseconds(last),
    )


def read_build(value: Any) -> Build:
    """Read a build's page. Raises ValueError."""
    artifacts = item(value, "artifacts", list, "build")
    paths = [each.get("relativePath") for each in artifacts if isinstance(each, dict)]
    path = choose_artifact([path for path in paths if isinstance(path, str)])
    prints = value.get("fingerprint")
    md5 = None
    for each in prints if isinstance(prints, list) else ():
        if path is not None and isinstance(each, dict):
            same = each.get("fileName") in (path, posixpath.basename(path))
            if same and isinstance(each.get("hash"), str):
                md5 = each["hash"].lower()
    return Build(
        path=path,
        md5=md5,
        timestamp=_milliseconds(value),
        commits=tuple(_commits(value)),
    )


def choose_artifact(paths: Sequence[str]) -> str | None:
    """Choose the signed .apk among a build's artifacts.

    A directory of the signed one may end in ``-unsigned.apk``, so only the
    basename decides (contract §2.5).
    """

    def name(path: str) -> str:
        return posixpath.basename(path)

    signed = [
        path
        for path in paths
        if name(path).endswith(".apk") and not name(path).endswith("-unsigned.apk")
    ]
    return min(signed, key=lambda path: not name(path).startswith("MosMetro"), default=None)


class Jenkins:
    """The branches that Jenkins builds."""

    name = "jenkins"
    required = "master"

    def __init__(
        self,
        upstream: Upstream,
        url: str,
        project: str,
        *,
        hide_private: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take Jenkins' base URL; `hide_private` leaves out names that start with ``_``."""
        self._upstream = upstream
        self._project = f"{url}/job/{quote(project, safe='')}"
        self._hide_private = hide_private
        self._headers = dict(headers or {})
        # Builds whose message may lack commits because an older build could not be read.
        self._unsettled: set[str] = set()
        # Readings in a row that lacked a job, while there was nothing to stand in for it.
        self._incomplete = 0

    async def read(self, previous: Mapping[str, Branch], only: str | None = None) -> Reading:
        """Ask for every job's newest build; see `Source.read`."""
        if only is not None and only in previous:
            jobs = [(name, True) for name in previous]
        else:
            only = None
            try:
                jobs = await self._ask(
                    f"{self._project}/api/json?tree={PROJECT_TREE}", read_project, revalidate=True
                )
            except UpstreamError as error:
                raise SourceError(str(error), error.retry_after) from error

        notes: dict[str, str] = {}
        wanted = []
        branches: dict[str, Branch] = {}
        for name, enabled in jobs:
            if not enabled:
                notes[name] = "left out: the job is disabled"
            elif self._hide_private and name.startswith("_"):
                notes[name] = "left out: private"
            elif only is not None and name != only:
                branches[name] = previous[name]
            else:
                wanted.append(name)

        failures: list[UpstreamError] = []
        missing: list[str] = []
        gate = DeferredSemaphore(PARALLEL)

        async def fill_in(name: str) -> None:
            try:
                if sum(error.kind in ("timeout", "refused") for error in failures) >= PARALLEL:
                    # Jenkins is away; the other jobs would only wait for the same answer.
                    raise failures[0]
                branches[name] = await self._branch(name, previous.get(name))
            except _Unusable as reason:
                notes[name] = f"left out: {reason}"
            except _Stale as reason:
                branches[name] = previous[name]
                notes[name] = f"kept as it was: {reason}"
            except UpstreamError as error:
                failures.append(error)
                if name in previous:
                    branches[name] = previous[name]
                    notes[name] = f"kept as it was: {error}"
                else:
                    missing.append(name)
                    notes[name] = f"left out: {error}"

        await together(gate.run(fill_in, name) for name in wanted)
        retry_after = max((e.retry_after for e in failures if e.retry_after), default=None)
        # With nothing known before, a list without a branch that exists would move its phones away.
        if missing and not previous:
            self._incomplete += 1
            if self._incomplete < HOPELESS or self.required in missing:
                raise SourceError(str(failures[0]), retry_after)
        self._incomplete = 0
        return Reading(
            branches={name: branches[name] for name, _ in jobs if name in branches},
            notes=notes,
            partial=str(failures[0]) if failures else None,
            retry_after=retry_after,
        )

    async def _branch(self, name: str, previous: Branch | None) -> Branch:
        # The name is URL-encoded already, so Jenkins' own links encode it twice.
        base = f"{self._project}/job/{quote(name, safe='')}"
        job = await self._ask(f"{base}/api/json?tree={JOB_TREE}", read_job, revalidate=True)
        if not job.buildable:
            raise _Unusable("the branch is gone from the repository")
        if job.number is None:
            _stand_in(previous, "it has no successful build")
        assert job.number is not None
        if self._same(previous, job):
            assert previous is not None
            return replace(previous, description=job.description)
        build = await self._build(base, job.number, job.timestamp)
        if build.path is None:
            _stand_in(previous, f"build {job.number} has no signed .apk")
        assert build.path is not None
        commits = build.commits or await self._earlier_commits(name, base, job.number)
        stamp = job.timestamp or build.timestamp
        lines = "".join(f"\n* {commit}" for commit in commits) or NO_COMMITS
        return Branch(
            name=name,
            version=0,
            build=job.number,
            by_build=True,
            stable=False,
            description=job.description,
            message=f"Сборка {unquote(name)}-#{job.number}:\n{lines}",
            artifact=Artifact(
                branch=name,
                number=job.number,
                filename=published_filename(name, by_build=True, number=job.number),
                source=self.name,
                url=f"{base}/{job.number}/artifact/{quote(build.path, safe='/')}",
                size=None,
                digest=f"md5:{build.md5}" if build.md5 else None,
                modified=stamp // 1000,
                stamp=str(stamp),
            ),
        )

    def _same(self, previous: Branch | None, job: Job) -> bool:
        """Tell whether the build is the one that is known already: a build cannot change."""
        return (
            previous is not None
            and previous.build == job.number
            and job.timestamp != 0
            and previous.artifact.stamp == str(job.timestamp)
            and previous.name not in self._unsettled
        )

    async def _build(self, base: str, number: int, timestamp: int) -> Build:
        return await self._ask(
            f"{base}/{number}/api/json?tree={BUILD_TREE}",
            read_build,
            keep=BUILD_AGE,
            version=str(timestamp),
        )

    async def _earlier_commits(self, name: str, base: str, number: int) -> tuple[str, ...]:
        """Look for the last known commits: a rebuild has none of its own (contract §5.2, 16)."""
        self._unsettled.discard(name)
        for earlier in range(number - 1, max(number - 1 - WALK, 0), -1):
            try:
                build = await self._build(base, earlier, 0)
            except UpstreamError as error:
                if error.status == 404:
                    # Jenkins throws the oldest away first, so nothing is left before this one.
                    break
                self._unsettled.add(name)
                continue
            if build.commits:
                return build.commits
        return ()

    async def _ask(self, url: str, read: Callable[[Any], T], **options: Any) -> T:
        answer: Awaitable[T] = self._upstream.json(url, read, headers=self._headers, **options)
        return await answer


class _Stale(Exception):
    """The job has nothing new for phones, but had something before."""


def _stand_in(previous: Branch | None, reason: str) -> None:
    raise (_Unusable if previous is None else _Stale)(reason)


def basic_auth(user: str, token: str) -> dict[str, str]:
    """Return the header that Jenkins' API tokens are sent in, if there is one (RFC 7617)."""
    if not token:
        return {}
    credentials = base64.b64encode(f"{user}:{token}".encode()).decode("ascii")
    return {"Authorization": f"Basic {credentials}"}


def _milliseconds(value: Any) -> int:
    found = value.get("timestamp") if isinstance(value, dict) else None
    return found if isinstance(found, int) and 0 <= found < YEAR_10000 else 0


def _commits(value: Mapping[str, Any]) -> list[str]:
    """Collect the messages of `changeSet` (freestyle) and `changeSets` (pipeline)."""
    sets = [value.get("changeSet")]
    several = value.get("changeSets")
    sets.extend(several if isinstance(several, list) else ())
    found: list[str] = []
    for each in sets:
        items = each.get("items") if isinstance(each, dict) else None
        for commit in items if isinstance(items, list) else ():
            message = text(commit.get("msg")) if isinstance(commit, dict) else None
            if message and message not in found:
                found.append(message)
    return found[:100]
