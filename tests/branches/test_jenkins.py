"""Jenkins' jobs become branches, whatever state each of them is in."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.branches.jenkins import (
    PARALLEL,
    basic_auth,
    choose_artifact,
    read_build,
    read_job,
    read_project,
)
from metro_backend.branches.source import Reading, SourceError
from metro_backend.demo.builds import Artifact, Job
from metro_backend.demo.faults import Cut, Hang, Html, Refuse, Status
from tests.doubles.world import PROJECT, WorldTestCase

MASTER = f"{PROJECT}/job/master"


class ReadingTests(WorldTestCase):
    """A good Jenkins."""

    def read(self, previous: Any = None, only: str | None = None, **options: Any) -> Reading:
        """Ask a fresh source."""
        source = self.world.jenkins(**options)
        reading = self.world.result_of(self, source.read(previous or {}, only))
        assert isinstance(reading, Reading)
        return reading

    def test_demonstration(self) -> None:
        """Jobs with a good build are branches; disabled, private and unbuilt ones are not."""
        reading = self.read()
        self.assertLessEqual({"master", "play", "feature%2Fdns"}, set(reading.branches))
        self.assertFalse({"old", "_mirea", "new"} & set(reading.branches))
        master = reading.branches["master"]
        self.assertEqual((master.build, master.by_build, master.version), (438, True, 0))
        self.assertTrue(master.message.startswith("Сборка master-#438:\n\n* "))
        self.assertEqual(master.artifact.filename, "MosMetro-master-b438.apk")

    def test_private(self) -> None:
        """Private branches are shown where the operator wants them."""
        job = self.world.stand_in.jenkins.job("_mirea")
        job.add_build("x")
        self.assertIn("_mirea", self.read(hide_private=False).branches)
        self.assertNotIn("_mirea", self.read().branches)

    def test_unbuildable(self) -> None:
        """A job whose branch is gone from the repository is left out."""
        self.world.stand_in.jenkins.job("feature%2Fdns").buildable = False
        self.assertNotIn("feature%2Fdns", self.read().branches)

    def test_artifact_address(self) -> None:
        """The artifact's address leads to the signed file, its odd characters quoted."""
        for branch in self.read().branches.values():
            path = branch.artifact.url.removeprefix("http://127.0.0.1:8001")
            self.world.stand_in.forget()
            response = self.world.result_of(self, self.world.upstream().open(branch.artifact.url))
            self.assertEqual(response.code, 200, path)
            self.assertFalse(path.endswith("-unsigned.apk"))

    def test_rebuild_shows_earlier_commits(self) -> None:
        """A build without commits of its own tells of those before it."""
        self.world.stand_in.jenkins.job("master").add_build("* Последнее")
        self.world.stand_in.jenkins.job("master").add_build()
        self.assertIn("Последнее", self.read().branches["master"].message)

    def test_walk_is_bounded(self) -> None:
        """The search for commits ends after ten builds."""
        job = self.world.stand_in.jenkins.job("master")
        for _ in range(30):
            job.add_build()
        self.assertTrue(self.read().branches["master"].message.endswith("¯\\_(ツ)_/¯"))
        self.assertLessEqual(self.world.stand_in.count(f"{MASTER}/4*/api/json*"), 11)

    def test_nothing_new_costs_one_call_a_job(self) -> None:
        """A second reading asks for the project and once for each job, and for no build."""
        source = self.world.jenkins()
        first = self.world.result_of(self, source.read({}))
        self.world.stand_in.forget()
        again = self.world.result_of(self, source.read(first.branches))
        self.assertEqual(again.branches, first.branches)
        jobs = len(self.world.stand_in.jenkins.jobs)
        self.assertLessEqual(self.world.stand_in.count(), 1 + jobs)

    def test_one_branch(self) -> None:
        """A notice that names a branch costs calls for that branch only."""
        source = self.world.jenkins()
        first = self.world.result_of(self, source.read({}))
        build = self.world.stand_in.jenkins.job("master").add_build("Новое")
        self.world.stand_in.jenkins.job("play").add_build("Тоже новое")
        self.world.stand_in.forget()
        again = self.world.result_of(self, source.read(first.branches, "master"))
        self.assertEqual(again.branches["master"].build, build.number)
        self.assertEqual(again.branches["play"], first.branches["play"])
        self.assertEqual(self.world.stand_in.count(), self.world.stand_in.count(MASTER))

    def test_same_number_of_a_new_life(self) -> None:
        """A job created anew is not answered from the page of an old build of its number."""
        job = self.world.stand_in.jenkins.job("master")
        before = self.read().branches["master"]
        old = job.builds[0]
        job.builds[:] = []
        job.add_build("Совсем другое", timestamp=old.timestamp + 1000)
        job.builds[0].number = old.number
        after = self.read({"master": before}).branches["master"]
        self.assertIn("Совсем другое", after.message)
        self.assertNotEqual(after.artifact.identity, before.artifact.identity)

    def test_parallel(self) -> None:
        """Never more than four calls are under way at once."""
        jenkins = self.world.stand_in.jenkins
        for number in range(20):
            jenkins.jobs.append(Job(name=f"b{number}"))
            jenkins.jobs[-1].add_build("x")
        self.world.stand_in.faults.set(f"{PROJECT}/job/", Hang())
        source = self.world.jenkins()
        self.failure_of(source.read({}), SourceError, passing=60)
        # Once as many have waited in vain, the others are not asked any more.
        self.assertLess(self.world.stand_in.count(f"{PROJECT}/job/"), 2 * PARALLEL)


class FaultTests(WorldTestCase):
    """A Jenkins of which something is broken."""

    def test_last_good_build_vanishes(self) -> None:
        """A branch that had a build keeps it when Jenkins forgets its last success."""
        source = self.world.jenkins()
        first = self.world.result_of(self, source.read({}))
        self.world.stand_in.jenkins.job("master").forgets_success = True
        again = self.world.result_of(self, source.read(first.branches))
        self.assertEqual(again.branches["master"], first.branches["master"])
        self.assertIn("kept", again.notes["master"])
        self.assertIsNone(again.partial)

    def test_build_without_package(self) -> None:
        """A new build that left nothing to install does not replace the last one."""
        source = self.world.jenkins()
        first = self.world.result_of(self, source.read({}))
        self.world.stand_in.jenkins.job("master").add_build(
            "x", artifacts=[Artifact(path="bin/MosMetro-master-unsigned.apk")]
        )
        again = self.world.result_of(self, source.read(first.branches))
        self.assertEqual(again.branches["master"].build, 438)

    def test_one_broken_job(self) -> None:
        """A job that fails keeps its last build, and the others go on."""
        for fault in (Status(500), Status(404), Html(), Cut(20), Refuse()):
            for page in ("/api/json", "/[0-9]*/api/json"):
                world = self.world = type(self.world)(self)
                source = world.jenkins()
                first = world.result_of(self, source.read({}))
                world.stand_in.jenkins.job("master").add_build("x")
                build = world.stand_in.jenkins.job("play").add_build("y")
                world.stand_in.faults.set(MASTER + page, fault)
                again = world.result_of(self, source.read(first.branches))
                self.assertEqual(again.branches["master"], first.branches["master"])
                self.assertEqual(again.branches["play"].build, build.number)
                self.assertIn(MASTER, again.partial)

    def test_broken_job_at_first(self) -> None:
        """With nothing known before, one job that cannot be read makes the whole answer useless."""
        self.world.stand_in.faults.set(f"{MASTER}/api/json", Status(500))
        error = self.failure_of(self.world.jenkins().read({}), SourceError)
        self.assertIn("500", str(error))

    def test_odd_values(self) -> None:
        """A name that is no text, and a build from another age, spoil nothing."""
        names = ("bad\ud800", "good", "x" * 500, "")
        value = {"jobs": [{"name": name, "color": "blue"} for name in names]}
        self.assertEqual(read_project(value), [("good", True)])
        build = {"number": 1, "timestamp": 10**15}
        self.assertEqual(read_job({"lastSuccessfulBuild": build}).timestamp, 0)

    def test_no_project(self) -> None:
        """A project page that is no list of jobs is an error."""
        for fault in (Status(404), Html(), Status(200, body="{}"), Status(200, body='{"jobs":[]}')):
            self.world.stand_in.faults.set(f"{PROJECT}/api/json", fault)
            self.failure_of(self.world.jenkins().read({}), SourceError)


class ParsingTests(SynchronousTestCase):
    """Pages of any shape are read or refused with ValueError."""

    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "jobs",
                        "name",
                        "color",
                        "lastSuccessfulBuild",
                        "number",
                        "timestamp",
                        "artifacts",
                        "relativePath",
                        "changeSet",
                        "changeSets",
                        "items",
                        "msg",
                        "fingerprint",
                        "fileName",
                        "hash",
                        "buildable",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )

    @given(anything)
    @hypothesis_settings(deadline=None, max_examples=300)
    def test_any_json(self, value: Any) -> None:
        """No JSON raises anything but ValueError."""
        for read in (read_project, read_job, read_build):
            try:
                read(value)
            except ValueError:
                continue

    def test_choice_of_artifact(self) -> None:
        """The signed package is chosen by its own name, not by a directory's."""
        signed = "SignApksBuilder-out/k/p.*/MosMetro-master-v77-b1-unsigned.apk/MosMetro-master.apk"
        self.assertEqual(choose_artifact(["bin/MosMetro-unsigned.apk", signed]), signed)
        self.assertEqual(
            choose_artifact(["other.apk", "bin/MosMetro-x-signed.apk"]), "bin/MosMetro-x-signed.apk"
        )
        self.assertIsNone(choose_artifact(["mapping.txt", "a/x-unsigned.apk"]))

    def test_number_out_of_range(self) -> None:
        """A number that a phone cannot read is refused."""
        for number in (2**31, -1, True, "7", None):
            self.assertRaises(
                ValueError, read_job, {"lastSuccessfulBuild": {"number": number, "url": "x"}}
            )

    def test_freestyle(self) -> None:
        """The singular change set of freestyle jobs is read too, and an empty one hides none."""
        value = {
            "artifacts": [],
            "changeSet": {"items": []},
            "changeSets": [{"items": [{"msg": "a"}, {"msg": None}, {"msg": "a"}]}],
        }
        self.assertEqual(read_build(value).commits, ("a",))

    def test_credentials(self) -> None:
        """A token is sent as Jenkins wants it, and none is sent without one."""
        self.assertEqual(basic_auth("u", "t"), {"Authorization": "Basic dTp0"})
        self.assertEqual(basic_auth("u", ""), {})
