"""The catalogue never lies and never goes away (contract §0, I3; design §6)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from metro_backend.branches.archive import Archive
from metro_backend.branches.catalogue import POLL, Catalogue
from metro_backend.branches.model import Snapshot
from metro_backend.branches.orders import Outcome
from metro_backend.demo.builds import Job
from metro_backend.demo.faults import (
    Cut,
    EmptyList,
    Fault,
    Hang,
    Html,
    RateLimited,
    Refuse,
    Slow,
    Status,
)
from metro_backend.store.embedded import EmbeddedStore
from tests.doubles.world import PROJECT, RELEASES, World, WorldTestCase

FAULTS: dict[str, Fault] = {
    "rate limit": RateLimited(reset_after=3600),
    "404": Status(404),
    "500": Status(500),
    "HTML with 200": Html(),
    "hang": Hang(),
    "refused": Refuse(),
    "cut": Cut(50),
}

PAGES = {
    "github": (RELEASES,),
    "project": (f"{PROJECT}/api/json",),
    "job": (f"{PROJECT}/job/master/api/json",),
    "build": (f"{PROJECT}/job/master/[0-9]*/api/json",),
    "all": (RELEASES, PROJECT),
}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "jobs",
                    "name",
                    "color",
                    "description",
                    "buildable",
                    "lastSuccessfulBuild",
                    "number",
                    "url",
                    "artifacts",
                    "relativePath",
                    "changeSets",
                    "items",
                    "msg",
                    "tag_name",
                    "draft",
                    "prerelease",
                    "assets",
                    "body",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
"""JSON that comes near to what the sources say."""


def published(snapshot: Snapshot | None) -> Any:
    """Return what phones see of the list."""
    assert snapshot is not None
    return [branch.as_json() for branch in snapshot.branches.values()]


class FaultTableTests(WorldTestCase):
    """Every fault of every page, against a cold, a warm and a restarted server."""

    def each(self) -> list[tuple[str, str, list[tuple[str, Fault]]]]:
        """List the table's rows."""
        rows = []
        for page, patterns in PAGES.items():
            faults = dict(FAULTS)
            if page in ("github", "project", "all"):
                faults["empty"] = EmptyList()
            for name, fault in faults.items():
                if page == "all" and name == "empty":
                    continue
                rows.append((page, name, [(pattern, fault) for pattern in patterns]))
        return rows

    def broken(self, rules: list[tuple[str, Fault]]) -> World:
        """Begin a world in which these faults are set."""
        self.world = World(self)
        for pattern, fault in rules:
            self.world.stand_in.faults.set(pattern, fault)
        return self.world

    def test_cold(self) -> None:
        """Without a first good answer there is no list, and there is one once the fault is over."""
        for page, name, rules in self.each():
            world = self.broken(rules)
            catalogue = world.started()
            world.pass_time(40)
            self.assertIsNone(catalogue.snapshot, f"{page}: {name}")
            self.assertTrue(catalogue.source_errors, f"{page}: {name}")
            world.stand_in.faults.clear()
            # A rate limit is respected; anything else is tried again within half a minute.
            world.pass_time(3600 if name == "rate limit" else 31, step=5.0)
            self.assertIsNotNone(catalogue.snapshot, f"{page}: {name}")
            catalogue.stopService()

    def test_warm(self) -> None:
        """With a list the fault changes nothing that phones see, and its source is named."""
        for page, name, rules in self.each():
            if page == "build":
                continue
            world = self.world = World(self)
            catalogue, before = world.warm()
            for pattern, fault in rules:
                world.stand_in.faults.set(pattern, fault)
            if page in ("github", "all"):
                # Something new, so that there is a body to be cut.
                world.stand_in.github.add_release("79", prerelease=True)
            catalogue.refresh()
            world.pass_time(70)
            after = catalogue.snapshot
            self.assertEqual(published(after), published(before), f"{page}: {name}")
            assert after is not None
            self.assertEqual(after.changed_at, before.changed_at)
            failed = {"github"} if page == "github" else {"jenkins"}
            failed = {"github", "jenkins"} if page == "all" else failed
            named = {name for name, state in after.sources.items() if state.error}
            self.assertEqual(named, failed, f"{page}: {name}")
            catalogue.stopService()

    def test_restarted(self) -> None:
        """A restart with the upstream broken serves the list from the disk."""
        for page, name, rules in self.each():
            world = self.world = World(self)
            catalogue, before = world.warm()
            for pattern, fault in rules:
                world.stand_in.faults.set(pattern, fault)
            world.clock.advance(3600)
            again = world.restarted(catalogue)
            self.assertEqual(published(again.snapshot), published(before), f"{page}: {name}")
            world.pass_time(70)
            self.assertEqual(published(again.snapshot), published(before), f"{page}: {name}")
            again.stopService()


class RefreshTests(WorldTestCase):
    """When the sources are asked, and how often."""

    def refreshed(self, catalogue: Catalogue, **options: Any) -> Outcome:
        """Demand a refresh and return how it ended."""
        demand = catalogue.refresh(**options)
        self.world.pass_time(1)
        outcome = self.world.result_of(self, demand)
        assert isinstance(outcome, Outcome)
        return outcome

    def test_new_build(self) -> None:
        """A new build is in the list after a refresh, fetched before it was published."""
        catalogue, before = self.world.warm()
        build = self.world.stand_in.jenkins.job("master").add_build("x")
        self.assertEqual(self.world.prepared, [])
        outcome = self.refreshed(catalogue)
        assert outcome.snapshot is not None
        self.assertEqual(outcome.failures, {})
        self.assertEqual(outcome.snapshot.branches["master"].build, build.number)
        self.assertEqual(self.world.prepared, [f"MosMetro-master-b{build.number}.apk"])
        self.assertGreaterEqual(outcome.snapshot.changed_at, before.changed_at)
        catalogue.stopService()

    def test_bad_build_is_held_back(self) -> None:
        """A build whose bytes are wrong is not published; the one before it stays."""
        catalogue, before = self.world.warm()
        build = self.world.stand_in.jenkins.job("master").add_build("x")
        self.world.bad.add(f"MosMetro-master-b{build.number}.apk")
        outcome = self.refreshed(catalogue)
        self.assertEqual(published(outcome.snapshot), published(before))
        assert outcome.snapshot is not None
        self.assertIn("held back", outcome.snapshot.sources["jenkins"].notes["master"])
        catalogue.stopService()

    def test_build_that_comes_late(self) -> None:
        """A build that was announced before its file was there is asked for again soon."""
        catalogue, _ = self.world.warm()
        build = self.world.stand_in.jenkins.job("master").add_build("x")
        name = f"MosMetro-master-b{build.number}.apk"
        self.world.bad.add(name)
        outcome = self.refreshed(catalogue)
        self.assertIn(name, outcome.failures["jenkins"])
        self.world.bad.clear()
        self.world.pass_time(40, step=POLL)
        assert catalogue.snapshot is not None
        self.assertEqual(catalogue.snapshot.branches["master"].build, build.number)
        catalogue.stopService()

    def test_removed_branch(self) -> None:
        """A good answer that lacks a branch removes it."""
        catalogue, _ = self.world.warm()
        self.world.stand_in.jenkins.jobs.remove(self.world.stand_in.jenkins.job("feature%2Fdns"))
        outcome = self.refreshed(catalogue)
        assert outcome.snapshot is not None
        self.assertNotIn("feature%2Fdns", outcome.snapshot.branches)
        catalogue.stopService()

    def test_expiry(self) -> None:
        """The list is refreshed when its time has come, and not before."""
        catalogue, _ = self.world.warm()
        self.world.stand_in.forget()
        self.world.pass_time(self.world.ttl - 60, step=POLL)
        self.assertEqual(self.world.stand_in.count(), 0)
        self.world.pass_time(60 + 2 * POLL)
        self.assertEqual(self.world.stand_in.count(RELEASES), 1)
        self.assertEqual(self.world.stand_in.count(f"{PROJECT}/api/json"), 1)
        catalogue.stopService()

    def test_nothing_new(self) -> None:
        """A refresh with nothing new costs one call to GitHub and at most 1 + jobs to Jenkins."""
        catalogue, before = self.world.warm()
        self.world.stand_in.forget()
        self.refreshed(catalogue)
        self.assertEqual(self.world.stand_in.count(RELEASES), 1)
        jobs = len(self.world.stand_in.jenkins.jobs)
        self.assertLessEqual(self.world.stand_in.count(PROJECT), 1 + jobs)
        self.assertEqual(published(catalogue.snapshot), published(before))
        catalogue.stopService()

    def test_burst(self) -> None:
        """Fifty demands at once cause at most two refreshes, and all are answered."""
        catalogue, _ = self.world.warm()
        self.world.pass_time(1)
        self.world.stand_in.forget()
        demands = [catalogue.refresh() for _ in range(50)]
        self.world.pass_time(2, step=0.1)
        for demand in demands:
            self.successResultOf(demand)
        self.assertEqual(self.world.stand_in.count(RELEASES), 2)
        catalogue.stopService()

    def test_demand_while_running(self) -> None:
        """A demand that comes while a refresh runs is followed by another one."""
        catalogue, _ = self.world.warm()
        self.world.stand_in.faults.set(RELEASES, Hang(), times=1)
        first = catalogue.refresh()
        self.world.pass_time(2)
        self.assertNoResult(first)
        build = self.world.stand_in.jenkins.job("master").add_build("x")
        catalogue.notice("jenkins", "master")
        self.world.pass_time(12)
        self.successResultOf(first)
        assert catalogue.snapshot is not None
        self.assertEqual(catalogue.snapshot.branches["master"].build, build.number)
        catalogue.stopService()

    def test_notice_of_a_branch(self) -> None:
        """A notice costs calls for its branch alone, and one of an unknown source none."""
        catalogue, _ = self.world.warm()
        self.world.pass_time(2)
        self.world.stand_in.jenkins.job("master").add_build("x")
        self.world.stand_in.forget()
        catalogue.notice("gitlab")
        catalogue.notice("jenkins", "master")
        self.world.pass_time(1)
        calls = self.world.stand_in.count()
        self.assertEqual(calls, self.world.stand_in.count(f"{PROJECT}/job/master/"))
        self.assertGreater(calls, 0)
        catalogue.stopService()

    def test_notices_do_not_put_the_whole_off(self) -> None:
        """Notices of one branch do not keep the others from being asked in their time."""
        catalogue, _ = self.world.warm()
        self.world.pass_time(self.world.ttl / 2, step=POLL)
        catalogue.notice("jenkins", "master")
        self.world.pass_time(2)
        self.world.stand_in.forget()
        self.world.pass_time(self.world.ttl / 2 + 2 * POLL, step=POLL)
        self.assertEqual(self.world.stand_in.count(f"{PROJECT}/api/json"), 1)
        catalogue.stopService()

    def test_lock_that_is_never_given(self) -> None:
        """A demand is answered although another instance never ends."""
        catalogue, _ = self.world.warm()
        self.world.pass_time(2)

        async def never(name: str, seconds: float) -> None:
            return None

        self.patch(self.world.store, "lock", never)
        demand = catalogue.refresh()
        self.world.pass_time(200)
        self.assertEqual(set(self.successResultOf(demand).failures), {"github", "jenkins"})
        catalogue.stopService()

    def test_source_that_never_ends(self) -> None:
        """A source whose answers trickle is given up as a whole."""
        jenkins = self.world.stand_in.jenkins
        catalogue, before = self.world.warm()
        self.world.pass_time(2)
        for number in range(80):
            jenkins.jobs.append(Job(name=f"b{number}"))
            jenkins.jobs[-1].add_build("x", size=100_000)
        self.world.stand_in.faults.set(f"{PROJECT}/job/b", Slow(40))
        self.world.stand_in.faults.set(f"{PROJECT}/job/b*/1/api/json", Slow(100))
        demand = catalogue.refresh()
        self.world.pass_time(130)
        self.assertIn("120 s", self.successResultOf(demand).failures["jenkins"])
        self.assertEqual(published(catalogue.snapshot), published(before))
        catalogue.stopService()

    def test_one_demand_is_given_up(self) -> None:
        """A demand whose client leaves takes nobody else's answer away."""
        catalogue, _ = self.world.warm()
        first, second = catalogue.refresh(), catalogue.refresh()
        first.addErrback(lambda _: None)
        first.cancel()
        self.world.pass_time(2)
        self.assertIsInstance(self.world.result_of(self, second), Outcome)
        catalogue.stopService()

    def test_first_questions_share_one_round(self) -> None:
        """Ten first questions cause one round of calls, and each is answered."""
        catalogue = self.world.catalogue()
        catalogue.startService()
        questions = [Deferred.fromCoroutine(catalogue.first(1.0)) for _ in range(10)]
        self.world.pass_time(0.1)
        for question in questions:
            self.assertIsNotNone(self.successResultOf(question))
        self.assertEqual(self.world.stand_in.count(RELEASES), 1)
        self.assertEqual(self.world.stand_in.count(f"{PROJECT}/api/json"), 1)
        catalogue.stopService()

    def test_first_question_does_not_wait_for_long(self) -> None:
        """A first question is answered in time although every source hangs."""
        self.world.stand_in.faults.set("/", Hang())
        catalogue = self.world.started()
        question = Deferred.fromCoroutine(catalogue.first(1.0))
        self.world.pass_time(1.5, step=0.5)
        self.assertIsNone(self.successResultOf(question))
        catalogue.stopService()

    def test_cold_source_that_names_a_time(self) -> None:
        """Without a list, too, a source is left alone for as long as it says."""
        self.world.stand_in.faults.set(RELEASES, RateLimited(reset_after=3600))
        self.world.stand_in.faults.set(PROJECT, Status(500))
        catalogue = self.world.started()
        for _ in range(5):
            catalogue.notice("jenkins")
            self.world.pass_time(20)
        self.assertEqual(self.world.stand_in.count(RELEASES), 1)
        catalogue.stopService()

    def test_job_that_never_can_be_read(self) -> None:
        """One hopeless job does not keep a first list from everybody for ever."""
        self.world.stand_in.faults.set(f"{PROJECT}/job/feature%252Fdns/", Status(500))
        catalogue = self.world.started()
        self.world.pass_time(60)
        self.assertIsNone(catalogue.snapshot)
        self.world.pass_time(600, step=POLL)
        assert catalogue.snapshot is not None
        self.assertNotIn("feature%2Fdns", catalogue.snapshot.branches)
        catalogue.stopService()

    def test_back_off(self) -> None:
        """A failing source is asked again after 30 s, 60 s … and at last every 30 minutes."""
        catalogue, _ = self.world.warm()
        self.world.stand_in.faults.set(RELEASES, Status(500))
        self.refreshed(catalogue)
        self.world.stand_in.forget()
        self.world.pass_time(20, step=POLL)
        self.assertEqual(self.world.stand_in.count(RELEASES), 0)
        self.world.pass_time(6 * 3600, step=POLL)
        calls = self.world.stand_in.count(RELEASES)
        self.assertTrue(12 <= calls <= 22, calls)
        # The other source is not asked more often on account of it.
        self.assertLessEqual(self.world.stand_in.count(f"{PROJECT}/api/json"), 1)
        catalogue.stopService()

    def test_retry_after(self) -> None:
        """A source that names a time is left alone until then."""
        catalogue, _ = self.world.warm()
        self.world.stand_in.faults.set(RELEASES, Status(503, {"Retry-After": "5000"}), times=1)
        self.refreshed(catalogue)
        self.world.stand_in.forget()
        self.world.pass_time(4990, step=POLL)
        self.assertEqual(self.world.stand_in.count(RELEASES), 0)
        self.world.pass_time(20, step=POLL)
        self.assertEqual(self.world.stand_in.count(RELEASES), 1)
        catalogue.stopService()

    def test_stop(self) -> None:
        """Stopping gives a running refresh up and leaves nothing to happen later."""
        self.world.stand_in.faults.set("/", Hang())
        catalogue = self.world.started()
        demand = catalogue.refresh()
        stopped = catalogue.stopService()
        if stopped is not None:
            self.successResultOf(stopped)
        self.successResultOf(demand)
        self.world.agent.flush()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])


class InstancesTests(WorldTestCase):
    """Several instances on one store."""

    def test_new_list_reaches_all(self) -> None:
        """What one instance refreshes the other serves at once, without calls of its own."""
        one, _ = self.world.warm()
        other = self.world.started()
        build = self.world.stand_in.jenkins.job("master").add_build("x")
        self.world.pass_time(1)
        self.world.result_of(self, one.refresh())
        self.world.stand_in.forget()
        assert other.snapshot is not None
        self.assertEqual(other.snapshot.branches["master"].build, build.number)
        self.world.pass_time(60)
        self.assertEqual(self.world.stand_in.count(), 0)
        for catalogue in (one, other):
            catalogue.stopService()

    def test_numbers_never_go_down_between_instances(self) -> None:
        """An instance that has never seen a number does not lower it for the others."""
        one, _ = self.world.warm()
        job = self.world.stand_in.jenkins.job("master")
        job.builds.clear()
        job.add_build("x")
        store, directory = self.world.store, self.world.directory
        # Another one starts with an empty disk, while the store is away.
        self.world.store = EmbeddedStore(self.world.clock)
        self.world.directory = directory / "other"
        other = self.world.started()
        assert other.snapshot is not None
        self.assertEqual(other.snapshot.branches["master"].build, 1)
        self.successResultOf(
            Deferred.fromCoroutine(
                Archive(directory, store, self.world.count, self.world.clock).save(other.snapshot)
            )
        )
        self.world.pass_time(POLL + 1)
        assert one.snapshot is not None
        self.assertEqual(one.snapshot.branches["master"].build, 438)
        shared = self.successResultOf(Deferred.fromCoroutine(store.get("snapshot")))
        assert shared is not None
        self.assertEqual(Snapshot.from_json(json.loads(shared)), one.snapshot)
        for catalogue in (one, other):
            catalogue.stopService()

    def test_store_with_an_older_list(self) -> None:
        """A store that was away while a list was saved gets it afterwards, and so do the others."""
        one, old = self.world.warm()
        archive = Archive(
            self.world.directory, self.world.store, self.world.count, self.world.clock
        )
        self.world.stand_in.jenkins.job("master").add_build("x")
        self.world.pass_time(2)
        demand = one.refresh()
        self.world.pass_time(1)
        self.successResultOf(demand)
        self.successResultOf(Deferred.fromCoroutine(archive.save(old)))
        self.world.pass_time(POLL + 1)
        shared = self.successResultOf(Deferred.fromCoroutine(self.world.store.get("snapshot")))
        assert shared is not None
        self.assertEqual(Snapshot.from_json(json.loads(shared)), one.snapshot)
        one.stopService()

    def test_reset_reaches_all(self) -> None:
        """A number that an admin lets go down goes down everywhere."""
        one, _ = self.world.warm()
        other = self.world.started()
        job = self.world.stand_in.jenkins.job("master")
        job.builds.clear()
        job.add_build("x")
        self.world.pass_time(2)
        demand = one.refresh(["master"])
        self.world.pass_time(2)
        self.successResultOf(demand)
        for catalogue in (one, other):
            assert catalogue.snapshot is not None
            self.assertEqual(catalogue.snapshot.branches["master"].build, 1)
            catalogue.stopService()

    def test_newer_list_during_a_refresh(self) -> None:
        """A late answer does not undo what another instance has published meanwhile."""
        one, _ = self.world.warm()
        self.world.pass_time(2)
        job = self.world.stand_in.jenkins.job("master")
        five = job.add_build("five")
        self.world.stand_in.faults.set(f"{PROJECT}/job/play/api/json", Hang(), times=1)
        late = one.refresh()
        self.world.pass_time(1)
        six = job.add_build("six")
        self.assertGreater(six.number, five.number)
        store, self.world.store = self.world.store, EmbeddedStore(self.world.clock)
        directory, self.world.directory = self.world.directory, self.world.directory / "other"
        other = self.world.started()
        assert other.snapshot is not None
        self.assertEqual(other.snapshot.branches["master"].build, six.number)
        self.successResultOf(
            Deferred.fromCoroutine(
                Archive(directory, store, self.world.count, self.world.clock).save(other.snapshot)
            )
        )
        self.world.pass_time(15)
        self.successResultOf(late)
        assert one.snapshot is not None
        self.assertEqual(one.snapshot.branches["master"].build, six.number)
        for catalogue in (one, other):
            catalogue.stopService()

    def test_lock(self) -> None:
        """Two cold instances cause one round of calls."""
        instances = [self.world.catalogue(), self.world.catalogue()]
        for catalogue in instances:
            catalogue.startService()
        self.world.pass_time(POLL + 1)
        self.assertEqual(self.world.stand_in.count(RELEASES), 1)
        for catalogue in instances:
            self.assertIsNotNone(catalogue.snapshot)
            catalogue.stopService()

    def test_dead_holder(self) -> None:
        """A lock whose holder died delays the others only until it expires."""
        self.successResultOf(Deferred.fromCoroutine(self.world.store.lock("refresh", 60.0)))
        catalogue = self.world.started()
        self.world.pass_time(30)
        self.assertIsNone(catalogue.snapshot)
        self.world.pass_time(35)
        self.assertIsNotNone(catalogue.snapshot)
        catalogue.stopService()

    def test_emptied_store(self) -> None:
        """A store that has lost everything gets the list back."""
        catalogue, before = self.world.warm()
        for key in ("snapshot", "snapshot:taken"):
            self.successResultOf(Deferred.fromCoroutine(self.world.store.delete(key)))
        self.world.pass_time(POLL + 1)
        kept = self.successResultOf(Deferred.fromCoroutine(self.world.store.get("snapshot")))
        assert kept is not None
        self.assertEqual(Snapshot.from_json(json.loads(kept)), before)
        catalogue.stopService()

    def test_foreign_list(self) -> None:
        """A damaged list in the store, or one of other sources, is not taken."""
        catalogue, before = self.world.warm()
        for body in (b"{}", b"\xff", b"[" * 100_000):
            for key, value in (("snapshot", body), ("snapshot:taken", b"9e12")):
                self.successResultOf(Deferred.fromCoroutine(self.world.store.set(key, value)))
            self.world.pass_time(POLL + 1)
            self.assertEqual(published(catalogue.snapshot), published(before))
        catalogue.stopService()

    def test_damaged_disk(self) -> None:
        """A damaged file on the disk is as good as none."""
        catalogue, before = self.world.warm()
        catalogue.stopService()
        (self.world.directory / "snapshot.json").write_bytes(b'{"format": 1}')
        again = self.world.restarted(catalogue)
        self.assertEqual(published(again.snapshot), published(before))
        again.stopService()

    def test_disk_that_cannot_be_written(self) -> None:
        """A list that cannot be kept on disk is served all the same, and the failure counted."""
        self.world.directory.joinpath("snapshot.json").mkdir()
        catalogue, _ = self.world.warm()
        self.assertGreaterEqual(self.world.counts["server.archive.unwritable"], 1)
        catalogue.stopService()


class AnythingTests(WorldTestCase):
    """Whatever the upstream says."""

    @given(json_values, st.sampled_from(sorted(PAGES)))
    @hypothesis_settings(deadline=None, max_examples=150)
    def test_any_json(self, value: Any, page: str) -> None:
        """Any JSON on any page leaves a list that phones can read, or none and a named error."""
        world = self.world = World(self)
        for pattern in PAGES[page]:
            world.stand_in.faults.set(pattern, Status(200, body=json.dumps(value)))
        catalogue = world.started()
        snapshot = catalogue.snapshot
        if snapshot is None:
            self.assertTrue(catalogue.source_errors)
        else:
            self.assertLessEqual({"play", "master"}, set(snapshot.branches))
        catalogue.stopService()
        self.assertEqual(self.flushLoggedErrors(), [])
