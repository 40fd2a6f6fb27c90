"""Jenkins' model as its remote API shows it (contract §2.5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from metro_backend.demo.builds import Artifact, Build, Job, Project
from metro_backend.demo.tree import Exported

MULTIBRANCH = "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject"
FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
PIPELINE_JOB, PIPELINE_RUN = (
    "org.jenkinsci.plugins.workflow.job.WorkflowJob",
    "org.jenkinsci.plugins.workflow.job.WorkflowRun",
)
FREESTYLE_JOB, FREESTYLE_RUN = "hudson.model.FreeStyleProject", "hudson.model.FreeStyleBuild"


class Documents:
    """Shows projects, jobs and builds to a client that reached us at one address."""

    def __init__(self, base: str, md5: Callable[[Project, Job, Build, Artifact], str]) -> None:
        """Take scheme and host for the URLs, and what works out a fingerprint."""
        self._base = base
        self._md5 = md5

    def project(self, project: Project) -> Exported:
        """Show a project."""
        url = f"{self._base}/job/{quote(project.name, safe='')}/"
        return Exported(
            kind=MULTIBRANCH,
            fields={
                "actions": [{}, {"_class": "jenkins.scm.api.metadata.ContributorMetadataAction"}],
                "description": project.description,
                "displayName": project.name,
                "fullDisplayName": project.name,
                "fullName": project.name,
                "name": project.name,
                "url": url,
                "healthReport": [],
                "jobs": [self.job(project, job) for job in project.jobs],
                "primaryView": {"name": "default", "url": url},
                "views": [{"name": "default", "url": url}],
                "sources": [{}],
            },
        )

    def job(self, project: Project, job: Job) -> Exported:
        """Show a job, or a folder."""
        url = self._job_url(project, job)
        names: dict[str, Any] = {
            "actions": [{}],
            "description": job.description,
            "displayName": unquote(job.name),
            "fullDisplayName": f"{project.name} » {unquote(job.name)}",
            "fullName": f"{project.name}/{job.name}",
            "name": job.name,
            "url": url,
        }
        if job.color is None:
            return Exported(
                kind=FOLDER,
                fields={**names, "healthReport": [], "jobs": [], "primaryView": None, "views": []},
                brief=("name", "url"),
            )

        def show(build: Build | None) -> Callable[[], Exported | None]:
            return lambda: None if build is None else self.build(project, job, build)

        def newest(*results: str | None) -> Callable[[], Exported | None]:
            return show(next((build for build in job.builds if build.result in results), None))

        return Exported(
            kind=FREESTYLE_JOB if job.is_freestyle else PIPELINE_JOB,
            fields={
                **names,
                "buildable": job.buildable,
                "builds": [show(build) for build in job.builds],
                "color": job.color,
                "firstBuild": show(job.builds[-1] if job.builds else None),
                "healthReport": [],
                "inQueue": False,
                "keepDependencies": False,
                "lastBuild": show(job.builds[0] if job.builds else None),
                "lastCompletedBuild": newest(
                    "SUCCESS", "UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"
                ),
                "lastFailedBuild": newest("FAILURE"),
                "lastStableBuild": newest("SUCCESS"),
                "lastSuccessfulBuild": show(job.last_successful),
                "lastUnstableBuild": newest("UNSTABLE"),
                "lastUnsuccessfulBuild": newest("UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"),
                "nextBuildNumber": job.next_number,
                "property": [],
                "queueItem": None,
                "concurrentBuild": True,
            },
            brief=("name", "url", "color"),
        )

    def build(self, project: Project, job: Job, build: Build) -> Exported:
        """Show a build."""
        number = build.number
        url = f"{self._job_url(project, job)}{number}/"
        older = [other for other in job.builds if other.number < number]
        newer = [other for other in job.builds if other.number > number]
        change_set = self._change_set(job, build)
        change_sets = {"changeSets": [change_set] if build.changes else []}

        def link(builds: list[Build], position: int) -> dict[str, Any] | None:
            if not builds:
                return None
            other = builds[position].number
            return {"number": other, "url": f"{self._job_url(project, job)}{other}/"}

        return Exported(
            kind=FREESTYLE_RUN if job.is_freestyle else PIPELINE_RUN,
            fields={
                "actions": [{"_class": "hudson.model.CauseAction", "causes": []}],
                "artifacts": [
                    {
                        "displayPath": artifact.name,
                        "fileName": artifact.name,
                        "relativePath": artifact.path,
                    }
                    for artifact in build.artifacts
                ],
                "building": build.result is None,
                "description": None,
                "displayName": f"#{number}",
                "duration": 0 if build.result is None else 214331,
                "estimatedDuration": 200112,
                "executor": None,
                "fullDisplayName": f"{project.name} » {unquote(job.name)} #{number}",
                "id": str(number),
                "keepLog": False,
                "number": number,
                "queueId": 553 + number,
                "result": build.result,
                "timestamp": build.timestamp,
                "url": url,
                **({"builtOn": "", "changeSet": change_set} if job.is_freestyle else change_sets),
                "culprits": [],
                "nextBuild": link(newer, -1),
                "previousBuild": link(older, 0),
            },
            # Jenkins exports it with visibility -1: no query without a tree shows it.
            hidden={"fingerprint": lambda: self._fingerprints(project, job, build)},
            brief=("number", "url"),
        )

    def _fingerprints(self, project: Project, job: Job, build: Build) -> list[dict[str, Any]]:
        return [
            {
                "fileName": artifact.name,
                "hash": self._md5(project, job, build, artifact),
                "original": {"name": f"{project.name}/{job.name}", "number": build.number},
                "timestamp": build.timestamp,
                "usage": [],
            }
            for artifact in build.artifacts
            if artifact.is_fingerprinted
        ]

    def _change_set(self, job: Job, build: Build) -> dict[str, Any]:
        return {
            "_class": "hudson.plugins.git.GitChangeSetList",
            "items": [self._commit(job, build, message) for message in build.changes],
            "kind": "git",
        }

    def _commit(self, job: Job, build: Build, message: str) -> dict[str, Any]:
        identity = hashlib.sha256(f"{job.name}\0{build.number}\0{message}".encode()).hexdigest()[
            :40
        ]
        committed = build.timestamp - 600_000
        return {
            "_class": "hudson.plugins.git.GitChangeSet",
            "affectedPaths": ["app/build.gradle"],
            "commitId": identity,
            "timestamp": committed,
            "author": {"absoluteUrl": f"{self._base}/user/dev", "fullName": "dev"},
            "authorEmail": "dev@mosmetro.example",
            "comment": f"{message}\n",
            "date": f"{datetime.fromtimestamp(committed / 1000, UTC):%Y-%m-%d %H:%M:%S +0000}",
            "id": identity,
            "msg": message,
            "paths": [{"editType": "edit", "file": "app/build.gradle"}],
        }

    def _job_url(self, project: Project, job: Job) -> str:
        # The name is encoded already and is encoded once more: feature%252Fdns.
        names = (quote(name, safe="") for name in (project.name, job.name))
        return f"{self._base}/job/{'/job/'.join(names)}/"
