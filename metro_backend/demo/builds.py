"""What a stand-in Jenkins knows: projects, jobs, builds, artifacts. All of it may be changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FIRST_BUILD_AT = 1_667_955_000_123
"""Milliseconds of UTC Unix time of a build that is given no other."""


@dataclass(kw_only=True)
class Artifact:
    """A file that a build has left."""

    path: str
    """Relative to the build; the last segment is the file's name."""
    size: int = 2_000_000
    """Bytes, unless `content` is given."""
    content: bytes | None = None
    """What is served in place of a made package."""
    is_fingerprinted: bool = True
    """Whether Jenkins tells its MD5."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


@dataclass(kw_only=True)
class Build:
    """One run of a job."""

    number: int
    changes: list[str] = field(default_factory=list)
    """Commit messages, the first line of each."""
    artifacts: list[Artifact] = field(default_factory=list)
    result: str | None = "SUCCESS"
    """SUCCESS, UNSTABLE, FAILURE, ABORTED, NOT_BUILT; None while it runs."""
    timestamp: int = FIRST_BUILD_AT
    """Milliseconds of UTC Unix time."""

    @property
    def is_successful(self) -> bool:
        """Whether Jenkins counts it as such; an unstable build is one."""
        return self.result in ("SUCCESS", "UNSTABLE")


def android_artifacts(job: str, version: int, number: int, size: int) -> list[Artifact]:
    """List what the app's pipeline leaves: the signed package between two that are none."""
    name = f"MosMetro-{job}-v{version}-b{number}"
    return [
        Artifact(path=f"app/build/outputs/apk/release/{name}-unsigned.apk", size=size - 4096),
        Artifact(
            path=f"SignApksBuilder-out/android-keystore/pw.thedrhax.*/{name}-unsigned.apk/{name}.apk",
            size=size,
        ),
        Artifact(
            path="app/build/outputs/mapping/release/mapping.txt",
            content=b"pw.thedrhax.mosmetro.Main -> a.a:\n",
            is_fingerprinted=False,
        ),
    ]


@dataclass(kw_only=True)
class Job:
    """A branch's job in a multibranch project, or a folder if it has no color."""

    name: str
    """As Jenkins keeps it: URL-encoded (``feature%2Fdns``)."""
    description: str | None = None
    color: str | None = "blue"
    """blue, red, yellow, grey, aborted, notbuilt, disabled, each also with _anime."""
    buildable: bool = True
    builds: list[Build] = field(default_factory=list)
    """The newest first."""
    is_freestyle: bool = False
    """A job of the older kind, whose builds have one `changeSet`."""
    forgets_success: bool = False
    """Tell null for the last successful build, whatever `builds` says."""

    def find(self, number: int) -> Build | None:
        """Return the build of that number."""
        return next((build for build in self.builds if build.number == number), None)

    @property
    def last_successful(self) -> Build | None:
        """The newest build that succeeded."""
        if self.forgets_success:
            return None
        return next((build for build in self.builds if build.is_successful), None)

    @property
    def next_number(self) -> int:
        """The number of the build to come; 1 for a job that has none (or was created anew)."""
        return self.builds[0].number + 1 if self.builds else 1

    def add_build(self, *changes: str, size: int = 2_000_000, **fields: Any) -> Build:
        """Finish one build more, by default a good one with the pipeline's artifacts."""
        number = self.next_number
        before = self.builds[0].timestamp if self.builds else FIRST_BUILD_AT - 3_600_000
        label = self.name.replace("%2F", "-")
        given = {
            "artifacts": android_artifacts(label, 77, number, size),
            "timestamp": before + 3_600_000,
            **fields,
        }
        build = Build(number=number, changes=list(changes), **given)
        self.builds.insert(0, build)
        return build


@dataclass(kw_only=True)
class Project:
    """A multibranch project."""

    name: str
    description: str | None = None
    jobs: list[Job] = field(default_factory=list)

    def find(self, name: str) -> Job | None:
        """Return the job of that name, URL-encoded as Jenkins keeps it."""
        return next((job for job in self.jobs if job.name == name), None)
