"""A stand-in Jenkins: its remote API and its artifacts (contract §2.5)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

from metro_backend.demo.apk import ApkCache, digests_of
from metro_backend.demo.builds import Artifact, Build, Job, Project, android_artifacts
from metro_backend.demo.documents import Documents
from metro_backend.demo.exchange import Answer, Query, html_answer, json_answer
from metro_backend.demo.files import file_answer
from metro_backend.demo.tree import Exported, parse_tree, render

__all__ = ["Artifact", "Build", "Jenkins", "Job", "Project", "android_artifacts"]

_APK_TYPE = "application/vnd.android.package-archive"


class Jenkins:
    """Answers as a Jenkins whose home is the root of its host."""

    def __init__(self, projects: list[Project], apks: ApkCache) -> None:
        """Take the projects, the app's own first."""
        self.projects = projects
        self.is_starting = False
        """Every answer is 503, as while a Jenkins starts."""
        self.credentials: tuple[str, str] | None = None
        """User and token without which every answer is 403; None if anybody may read."""
        self._apks = apks

    @property
    def project(self) -> Project:
        """The app's project."""
        return self.projects[0]

    @property
    def jobs(self) -> list[Job]:
        """The jobs of the app's project."""
        return self.project.jobs

    def job(self, name: str) -> Job:
        """Return a job of the app's project. Raises KeyError if there is none."""
        job = self.project.find(name)
        if job is None:
            raise KeyError(name)
        return job

    def answer(self, query: Query) -> Answer | None:
        """Answer, or return None if the path is none of Jenkins'."""
        segments = query.segments
        if segments[:1] != ["job"]:
            return None
        if self.is_starting:
            answer = html_answer(
                503, "Starting Jenkins", "Please wait while Jenkins is getting ready to work"
            )
        elif not self._may_read(query):
            answer = html_answer(403, "Authentication required", "Authentication required")
        else:
            answer = self._route(query, segments)
        return replace(answer, headers={**answer.headers, "X-Jenkins": "2.361.4"})

    def _route(self, query: Query, segments: list[str]) -> Answer:
        documents = Documents(query.base, self._md5)
        match segments:
            case ["job", name, "api", "json"]:
                project = self._project(name)
                if project is not None:
                    return _show(query, documents.project(project))
            case ["job", name, "job", job_name, *rest]:
                project = self._project(name)
                job = project.find(job_name) if project is not None else None
                if project is not None and job is not None:
                    return self._below_job(query, documents, project, job, rest)
        return _missing()

    def _below_job(
        self, query: Query, documents: Documents, project: Project, job: Job, rest: list[str]
    ) -> Answer:
        if rest == ["api", "json"]:
            return _show(query, documents.job(project, job))
        build = _build(job, rest[0]) if rest and job.color is not None else None
        if build is None:
            return _missing()
        match rest[1:]:
            case ["api", "json"]:
                return _show(query, documents.build(project, job, build))
            case ["artifact", *path]:
                wanted = "/".join(path)
                for artifact in build.artifacts:
                    if artifact.path == wanted:
                        return self._file(query, project, job, build, artifact)
        return _missing()

    def _file(
        self, query: Query, project: Project, job: Job, build: Build, artifact: Artifact
    ) -> Answer:
        seed = _seed(project, job, build, artifact)
        body = artifact.content
        if body is None:
            body = self._apks.get(seed, artifact.size)
        else:
            seed += digests_of(body).sha256
        is_apk = artifact.name.endswith(".apk")
        return file_answer(
            query,
            body,
            etag=f'"{hashlib.sha256(seed.encode()).hexdigest()[:32]}"',
            modified=build.timestamp // 1000,
            headers={
                "Content-Type": _APK_TYPE if is_apk else "text/plain",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def _md5(self, project: Project, job: Job, build: Build, artifact: Artifact) -> str:
        if artifact.content is not None:
            return digests_of(artifact.content).md5
        return self._apks.digests(_seed(project, job, build, artifact), artifact.size).md5

    def _project(self, name: str) -> Project | None:
        return next((project for project in self.projects if project.name == name), None)

    def _may_read(self, query: Query) -> bool:
        if self.credentials is None:
            return True
        expected = base64.b64encode(":".join(self.credentials).encode()).decode()
        return query.headers.get("authorization") == f"Basic {expected}"


def _build(job: Job, name: str) -> Build | None:
    if name == "lastSuccessfulBuild":
        return job.last_successful
    if name == "lastBuild":
        return job.builds[0] if job.builds else None
    return next((build for build in job.builds if str(build.number) == name), None)


def _seed(project: Project, job: Job, build: Build, artifact: Artifact) -> str:
    """Return what the package is made from: a job created anew leaves other bytes."""
    place = f"{project.name}/{job.name}/{build.number}/{artifact.path}"
    return f"jenkins/{place}/{build.timestamp}"


def _show(query: Query, document: Exported) -> Answer:
    text = query.argument("tree")
    try:
        tree = None if text is None else parse_tree(text)
    except ValueError as error:
        return html_answer(400, "Bad Request", str(error))
    return json_answer(render(document, tree), headers={"X-Content-Type-Options": "nosniff"})


def _missing() -> Answer:
    return html_answer(404, "Error 404 Not Found", "HTTP ERROR 404 Not Found")
