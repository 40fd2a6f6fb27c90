"""The stand-in Jenkins."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

from metro_backend.demo.jenkins import Artifact, Build, Job
from tests.demo.memory import BASE, PROJECT, StandInCase

PROJECT_KEYS = {
    "_class", "actions", "description", "displayName", "fullName", "name", "url", "healthReport",
    "jobs", "primaryView", "views", "sources",
}  # fmt: skip
JOB_KEYS = {
    "_class", "actions", "description", "displayName", "fullName", "name", "url", "buildable",
    "color", "inQueue", "keepDependencies", "builds", "firstBuild", "lastBuild",
    "lastSuccessfulBuild", "lastFailedBuild", "nextBuildNumber", "property", "queueItem",
    "concurrentBuild",
}  # fmt: skip
BUILD_KEYS = {
    "_class", "actions", "artifacts", "building", "description", "displayName", "duration",
    "estimatedDuration", "executor", "fullDisplayName", "id", "keepLog", "number", "queueId",
    "result", "timestamp", "url", "changeSets", "culprits", "nextBuild", "previousBuild",
}  # fmt: skip
COMMIT_KEYS = {
    "_class", "affectedPaths", "commitId", "timestamp", "author", "authorEmail", "comment", "date",
    "id", "msg", "paths",
}  # fmt: skip
MASTER = f"{PROJECT}/job/master"


class PagesTests(StandInCase):
    """The remote API's pages."""

    def test_project(self) -> None:
        """The project lists its jobs with name, URL and, but for a folder, color."""
        project = self.json(f"{PROJECT}/api/json")
        self.assertEqual(set(project), PROJECT_KEYS | {"fullDisplayName"})
        jobs = {job["name"]: job for job in project["jobs"]}
        self.assertEqual(
            list(jobs),
            ["master", "play", "feature%2Fdns", "_mirea", "old", "merged", "new", "archive"],
        )
        self.assertEqual(set(jobs["master"]), {"_class", "name", "url", "color"})
        self.assertEqual(set(jobs["archive"]), {"_class", "name", "url"})
        self.assertEqual(jobs["old"]["color"], "disabled")
        self.assertEqual(jobs["feature%2Fdns"]["url"], f"{BASE}{PROJECT}/job/feature%252Fdns/")

    def test_job(self) -> None:
        """A job has the fields of contract §2.5; its newest build is not its last good one."""
        job = self.json(f"{MASTER}/api/json")
        self.assertLessEqual(JOB_KEYS, set(job))
        self.assertEqual(job["lastBuild"]["number"], 439)
        self.assertEqual(
            job["lastSuccessfulBuild"],
            {
                "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
                "number": 438,
                "url": f"{BASE}{MASTER}/438/",
            },
        )

    def test_build(self) -> None:
        """A build has exactly the fields of contract §2.5, its commits too."""
        build = self.json(f"{MASTER}/438/api/json")
        self.assertEqual(set(build), BUILD_KEYS)
        self.assertEqual(set(build["artifacts"][0]), {"displayPath", "fileName", "relativePath"})
        commit = build["changeSets"][0]["items"][0]
        self.assertEqual(set(commit), COMMIT_KEYS)
        self.assertEqual(commit["msg"], "Исправлен URL статистики")
        self.assertEqual(build["previousBuild"]["url"], f"{BASE}{MASTER}/437/")
        self.assertGreater(build["timestamp"], 10**12)

    def test_every_page(self) -> None:
        """Every job and every build can be shown by the URL that it is listed with."""
        for job in self.json(f"{PROJECT}/api/json")["jobs"]:
            shown = self.json(f"{job['url']}api/json")
            self.assertEqual(shown["name"], job["name"])
            for build in shown.get("builds", []):
                self.assertEqual(self.json(f"{build['url']}api/json")["number"], build["number"])

    def test_names_are_encoded_twice(self) -> None:
        """A job's name is encoded once more in a path, and nothing less is found."""
        self.assertEqual(
            self.json(f"{PROJECT}/job/feature%252Fdns/api/json")["name"], "feature%2Fdns"
        )
        self.assertEqual(self.get(f"{PROJECT}/job/feature%2Fdns/api/json")[0].code, 404)

    def test_tree(self) -> None:
        """One query with a tree reaches from the project down to fingerprints and commits."""
        tree = (
            "jobs[name,buildable,lastSuccessfulBuild[number,fingerprint[fileName,hash],"
            "changeSets[items[msg]]]]{0,1}"
        )
        (job,) = self.json(f"{PROJECT}/api/json?tree={quote(tree)}")["jobs"]
        build = job["lastSuccessfulBuild"]
        self.assertEqual((job["name"], job["buildable"], build["number"]), ("master", True, 438))
        self.assertEqual(
            build["changeSets"][0]["items"],
            [{"_class": "hudson.plugins.git.GitChangeSet", "msg": "Исправлен URL статистики"}],
        )
        self.assertEqual(set(build["fingerprint"][0]), {"fileName", "hash"})

    def test_bad_tree(self) -> None:
        """A malformed tree is refused."""
        self.assertEqual(self.get(f"{PROJECT}/api/json?tree=jobs[")[0].code, 400)

    def test_errors(self) -> None:
        """What is not there is 404 with a page for people."""
        for target in (
            "/job/x/api/json",
            f"{PROJECT}/job/x/api/json",
            f"{MASTER}/1/api/json",
            f"{MASTER}/x/api/json",
            f"{MASTER}/438/artifact/x",
            f"{MASTER}/438/x",
            f"{PROJECT}/job/archive/1/api/json",
            PROJECT,
        ):
            response, body = self.get(target)
            self.assertEqual(response.code, 404, target)
            self.assertIn(b"<html>", body)

    def test_starting(self) -> None:
        """A Jenkins that starts answers 503 with a page for people."""
        self.stand_in.jenkins.is_starting = True
        response, body = self.get(f"{PROJECT}/api/json")
        self.assertEqual(response.code, 503)
        self.assertIn(b"getting ready", body)

    def test_credentials(self) -> None:
        """A Jenkins that wants credentials answers 403 to everybody else."""
        self.stand_in.jenkins.credentials = ("user", "token")
        self.assertEqual(self.get(f"{PROJECT}/api/json")[0].code, 403)
        basic = base64.b64encode(b"user:token").decode()
        self.json(f"{PROJECT}/api/json", {"Authorization": f"Basic {basic}"})

    def test_no_posts(self) -> None:
        """Nothing can be changed over HTTP."""
        self.assertEqual(self.get(f"{MASTER}/build", method="POST")[0].code, 405)


class ChangesTests(StandInCase):
    """What a test may do to the jobs."""

    def last(self, name: str) -> int | None:
        """Return the number of the job's last good build, as it is shown."""
        page = self.json(f"{PROJECT}/job/{quote(name, safe='')}/api/json")
        last = page["lastSuccessfulBuild"]
        return last and int(last["number"])

    def test_add_build(self) -> None:
        """A build that is added is the last good one, with a package."""
        self.stand_in.jenkins.job("master").add_build("Новое")
        self.assertEqual(self.last("master"), 440)
        build = self.json(f"{MASTER}/440/api/json")
        self.assertEqual(build["changeSets"][0]["items"][0]["msg"], "Новое")
        self.assertIn("MosMetro-master-v77-b440.apk", [a["fileName"] for a in build["artifacts"]])

    def test_never_succeeded(self) -> None:
        """A job without a good build, or that has forgotten it, tells null."""
        self.assertIsNone(self.last("new"))
        self.stand_in.jenkins.job("master").forgets_success = True
        self.assertIsNone(self.last("master"))

    def test_created_anew(self) -> None:
        """A job that was created anew starts at #1, whatever it had before."""
        job = self.stand_in.jenkins.job("_mirea")
        job.builds.clear()
        job.add_build()
        self.assertEqual(self.last("_mirea"), 1)

    def test_unstable(self) -> None:
        """An unstable build is a successful one, a running one is not."""
        job = self.stand_in.jenkins.job("master")
        job.add_build(result="UNSTABLE")
        job.add_build(result=None)
        self.assertEqual(self.last("master"), 440)
        self.assertTrue(self.json(f"{MASTER}/441/api/json")["building"])

    def test_job_list(self) -> None:
        """Jobs can be added, removed and disabled."""
        jobs = self.stand_in.jenkins.jobs
        jobs.remove(self.stand_in.jenkins.job("master"))
        jobs.append(Job(name="beta"))
        self.stand_in.jenkins.job("play").color = "disabled"
        shown = {job["name"]: job["color"] for job in self.json(f"{PROJECT}/api/json")["jobs"][:-2]}
        self.assertNotIn("master", shown)
        self.assertEqual(shown["play"], "disabled")
        self.assertRaises(KeyError, self.stand_in.jenkins.job, "master")
        self.assertIsNone(self.last("beta"))

    def test_freestyle(self) -> None:
        """A job of the older kind has one change set, present even when it is empty."""
        job = Job(name="free", is_freestyle=True)
        job.builds = [Build(number=2, changes=[]), Build(number=1, changes=["Первое"])]
        self.stand_in.jenkins.jobs.append(job)
        for number, messages in ((2, []), (1, ["Первое"])):
            build = self.json(f"{PROJECT}/job/free/{number}/api/json")
            self.assertEqual(build["_class"], "hudson.model.FreeStyleBuild")
            self.assertEqual([item["msg"] for item in build["changeSet"]["items"]], messages)
            self.assertNotIn("changeSets", build)


class ArtifactTests(StandInCase):
    """The files that builds leave."""

    def test_bytes(self) -> None:
        """A file comes by the historic double slash too, with the fingerprinted bytes."""
        tree = "artifacts[fileName,relativePath],fingerprint[fileName,hash]"
        build = self.json(f"{MASTER}/438/api/json?tree={quote(tree)}")
        marks = {mark["fileName"]: mark["hash"] for mark in build["fingerprint"]}
        self.assertEqual(len(marks), 2)
        for artifact in build["artifacts"]:
            path = quote(artifact["relativePath"])
            for slash in ("/", "//"):
                response, body = self.get(f"{MASTER}/438{slash}artifact/{path}")
                self.assertEqual(response.code, 200)
                self.assertEqual(response.length, len(body))
                self.assertIsNotNone(self.header(response, "Last-Modified"))
            md5 = hashlib.md5(body).hexdigest()
            self.assertEqual(marks.get(artifact["fileName"], md5), md5)

    def test_star(self) -> None:
        """A star in the path may be encoded or not, and an encoded slash is a slash too."""
        path = self.stand_in.jenkins.job("master").builds[1].artifacts[1].path
        self.assertIn("*", path)
        for sent in (path, quote(path), quote(path, safe="")):
            self.assertEqual(self.get(f"{MASTER}/438/artifact/{sent}")[0].code, 200)

    def test_range(self) -> None:
        """A part of a file can be had, and its validator is another one for another build."""
        etags = set()
        for number in (437, 438):
            path = f"a-b{number}.apk"
            build = self.stand_in.jenkins.job("master").find(number)
            assert build is not None
            build.artifacts = [Artifact(path=path, size=5000)]
            response, body = self.get(
                f"{MASTER}/{number}/artifact/{path}", {"Range": "bytes=-1000"}
            )
            self.assertEqual((response.code, len(body)), (206, 1000))
            etags.add(self.header(response, "ETag"))
        self.assertEqual(len(etags), 2)

    def test_permalink(self) -> None:
        """The last good build answers under its other name as well."""
        self.assertEqual(self.json(f"{MASTER}/lastSuccessfulBuild/api/json")["number"], 438)
        self.assertEqual(self.json(f"{MASTER}/lastBuild/api/json")["number"], 439)

    def test_odd_names(self) -> None:
        """A job whose name is encoded has artifacts under a URL that is encoded twice."""
        build = self.json(f"{PROJECT}/job/feature%252Fdns/lastSuccessfulBuild/api/json")
        path = quote(build["artifacts"][1]["relativePath"])
        self.assertEqual(self.get(f"{build['url']}artifact/{path}")[0].code, 200)
