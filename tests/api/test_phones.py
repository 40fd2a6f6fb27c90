"""Every installed phone against the server, in every state of its upstream."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from metro_backend.demo.faults import Fault, Status
from tests.branches.test_catalogue import FAULTS, PAGES, json_values
from tests.doubles.app import HOST, App, AppTestCase
from tests.doubles.phones import (
    PHONES,
    UPDATE_PHP_PHONES,
    UPDATING_PHONES,
    V4,
    V5,
    V11,
    V63,
    Master20221102,
    Master20221104,
    Master20221106,
    UpdatingPhone,
)
from tests.doubles.phones.downloads import DownloadManager
from tests.doubles.phones.exchange import MemoryExchange
from tests.doubles.phones.outcomes import Failed, MovedTo, NoUpdate, Update, update_in
from tests.doubles.phones.reports import REPORTS
from tests.doubles.phones.visitors import GatsbyPage
from tests.doubles.world import World

T = TypeVar("T")


class PhonesTestCase(AppTestCase):
    """Phones in the hands of a test."""

    def exchange(self) -> MemoryExchange:
        """Return a way to the server."""
        return MemoryExchange(self.world.clock, self.app.agent)

    def phone(self, model: type[UpdatingPhone], **state: Any) -> UpdatingPhone:
        """Take a phone of a model."""
        return model(self.exchange(), self.world.clock, base=HOST, **state)

    def done(self, work: Coroutine[Any, Any, T], passing: float = 0.0) -> T:
        """Return what a phone's work comes to."""
        deferred = Deferred.fromCoroutine(work)
        self.app.flush()
        if passing and not deferred.called:
            self.app.pass_time(passing, step=0.25)
        return self.successResultOf(deferred)


class UpdateTests(PhonesTestCase):
    """Phones look for updates."""

    def test_newer_version(self) -> None:
        """Each phone on play is told of a newer release, and its link leads to the file."""
        self.app.start()
        for model in UPDATING_PHONES:
            phone = self.phone(model, version_code=20)
            outcome = self.done(phone.check())
            update = update_in(outcome)
            assert isinstance(update, Update), (model, outcome)
            self.assertEqual((update.branch, update.number), ("play", 77))
            phone.assert_stays("play")
            self.done(phone.download(update))

    def test_newer_build(self) -> None:
        """Each phone on master is told of a newer build, with a message that has its lines."""
        self.app.start()
        for model in UPDATING_PHONES:
            phone = self.phone(model, branch="master", build=400)
            update = update_in(self.done(phone.check()))
            assert isinstance(update, Update), model
            self.assertEqual((update.branch, update.number), ("master", 438))
            self.assertIn("Сборка master-#438:\n", update.message, model)
            phone.assert_stays("master")

    def test_nothing_newer(self) -> None:
        """A phone that has the newest build hears of none."""
        self.app.start()
        for model in UPDATING_PHONES:
            phone = self.phone(model, branch="master", build=438)
            self.assertIsInstance(self.done(phone.check()), NoUpdate, model)
            newest = self.phone(model, version_code=77)
            self.assertIsInstance(self.done(newest.check()), NoUpdate, model)

    def test_old_beta(self) -> None:
        """A phone of before v50 on beta is served although beta is not published."""
        self.app.start()
        for model in UPDATE_PHP_PHONES:
            phone = self.phone(model, branch="beta", version_code=20)
            update = update_in(self.done(phone.check()))
            assert isinstance(update, Update), model
            self.assertEqual((update.branch, update.number), ("beta", 78))

    def test_hostile_message(self) -> None:
        """A commit message of markup neither creates nor breaks a branch."""
        evil = '</key></branch><branch id="play"><key id="version">999</key></branch>&<br>'
        self.world.stand_in.jenkins.job("master").add_build(evil)
        self.app.start()
        for model in UPDATING_PHONES:
            phone = self.phone(model, version_code=77)
            self.assertIsInstance(self.done(phone.check()), NoUpdate, model)
            other = self.phone(model, branch="master", build=1)
            update = update_in(self.done(other.check()))
            assert isinstance(update, Update), model
            self.assertNotEqual(update.number, 999)

    def test_removed_branch(self) -> None:
        """Only a branch that its source has really removed moves a phone, as it always did."""
        self.app.start()
        for model in UPDATING_PHONES:
            phone = self.phone(model, branch="gone", build=1)
            if isinstance(self.done(phone.check()), MovedTo):
                self.assertEqual(phone.branch, "master")

    def test_module(self) -> None:
        """A phone of v63 gets the captcha module as a file, not as a page."""
        self.app.start()
        phone = V63(self.exchange(), self.world.clock, base=HOST)
        self.done(phone.download_module())

    def test_web_page(self) -> None:
        """The web page of 2017 shows every branch from another origin."""
        self.app.start()
        cards = self.done(GatsbyPage(self.exchange(), base=HOST).load())
        self.assertLessEqual({"play", "master"}, {card.name for card in cards})


class FaultTests(PhonesTestCase):
    """Phones look for updates while the upstream is broken."""

    def rows(self) -> list[tuple[str, list[tuple[str, Fault]]]]:
        """List the states of the upstream."""
        return [
            (f"{page}: {name}", [(pattern, fault) for pattern in patterns])
            for page, patterns in PAGES.items()
            for name, fault in FAULTS.items()
        ]

    def test_warm(self) -> None:
        """With a list no phone is moved, hangs or crashes, and each hears of what is newer."""
        for row, rules in self.rows():
            self.world = World(self)
            self.app = App(self.world)
            self.app.start()
            for pattern, fault in rules:
                self.world.stand_in.faults.set(pattern, fault)
            self.app.catalogue.refresh()
            self.app.pass_time(11)
            for model in UPDATING_PHONES:
                for branch in ("play", "master", "feature%2Fdns"):
                    if branch == "feature%2Fdns" and model in UPDATE_PHP_PHONES[:-1]:
                        continue
                    phone = self.phone(model, branch=branch, build=1, version_code=20)
                    outcome = self.done(phone.check())
                    phone.assert_stays(branch)
                    self.assertIsInstance(update_in(outcome), Update, (row, model, branch))
            self.app.stop()

    def test_cold(self) -> None:
        """Without any list no phone is moved or crashes, and each is served once there is one."""
        for row, rules in self.rows():
            self.world = World(self)
            for pattern, fault in rules:
                self.world.stand_in.faults.set(pattern, fault)
            self.app = App(self.world)
            self.app.start()
            phones = [self.phone(model, version_code=20) for model in UPDATING_PHONES]
            for phone in phones:
                outcome = self.done(phone.check(), passing=1.25)
                phone.assert_stays("play")
                self.assertIsNone(update_in(outcome), (row, phone))
            self.world.stand_in.faults.clear()
            self.app.pass_time(2 * 3600, step=10)
            for phone in phones:
                outcome = self.done(phone.check())
                self.assertIsInstance(update_in(outcome), Update, (row, phone))
            self.app.stop()

    def test_error_is_not_kept_as_a_list(self) -> None:
        """An error of update.php has no body that a phone would keep for an hour."""
        self.world.stand_in.faults.set("/", FAULTS["hang"])
        self.app.start()
        reply = self.ask("GET", "/update.php", passing=1.5)
        self.assertEqual((reply.code, reply.body), (503, b""))


class AnythingTests(PhonesTestCase):
    """Phones look for updates while the upstream talks nonsense."""

    @given(json_values, st.sampled_from(sorted(PAGES)))
    @hypothesis_settings(deadline=None, max_examples=60)
    def test_any_json(self, value: Any, page: str) -> None:
        """Whatever JSON the upstream answers, no phone crashes or is moved."""
        self.world = World(self)
        for pattern in PAGES[page]:
            self.world.stand_in.faults.set(pattern, Status(200, body=json.dumps(value)))
        self.app = App(self.world)
        self.app.start()
        for model in UPDATING_PHONES:
            phone = self.phone(model)
            self.done(phone.check(), passing=1.25)
            phone.assert_stays("play")
        self.app.stop()


class ReportTests(PhonesTestCase):
    """Phones send their reports."""

    def test_every_phone(self) -> None:
        """Each model's own report is answered as the phone needs it."""
        self.app.start()
        for model in PHONES:
            phone = model(self.exchange(), self.world.clock, base=HOST)
            self.done(phone.report())

    def test_every_sample(self) -> None:
        """Each report of every era is answered 200 without Location or cookie, at both roots."""
        self.app.start()
        exchange = self.exchange()
        for sample in REPORTS:
            headers = [("Content-Type", sample.content_type)] if sample.content_type else []
            for prefix in ("", "/mosmetro"):
                answer = self.done(
                    exchange.request(
                        sample.method, HOST + prefix + sample.route, headers, sample.body, timeout=2
                    )
                )
                sample.verify(answer)

    def test_offline_test_with_everything_dead(self) -> None:
        """For v4 to v20 the server is the internet test, whatever else is dead."""
        self.world.stand_in.faults.set("/", FAULTS["hang"])
        self.app.start()
        for model in (V4, V5, V11):
            self.done(model(self.exchange(), self.world.clock, base=HOST).report())

    def test_queue(self) -> None:
        """The builds of November 2022 get rid of their queues, also by each other's route."""
        self.app.start()
        for model in (Master20221102, Master20221104, Master20221106):
            for route in ("/api/v2/stats", "/api/v3/stats"):
                phone = model(self.exchange(), self.world.clock, base=HOST)
                if hasattr(phone, "route"):
                    phone.route = route
                self.done(phone.report())


class DownloadTests(PhonesTestCase):
    """Phones fetch builds by the system's download manager."""

    def test_resume(self) -> None:
        """A download that was cut goes on where it was, on each route that it may have begun on."""
        self.app.start()
        for route in (
            "/releases/MosMetro-master-b438.apk",
            "/api/v2/download/master?uuid=x",
            "/api/v1/download.php?branch=master",
            "/update.php?download=master",
        ):
            for android in (4, 24):
                manager = DownloadManager(self.exchange(), android=android)
                self.done(manager.begin(HOST + route, lose_after=100_000))
                self.done(manager.resume())

    def test_resume_after_a_newer_build(self) -> None:
        """A download that a newer build overtakes ends with the bytes it began with."""
        self.app.start()
        url = f"{HOST}/api/v2/download/master"
        manager = DownloadManager(self.exchange(), android=24)
        self.done(manager.begin(url, lose_after=100_000))
        self.world.stand_in.jenkins.job("master").add_build("x")
        self.app.catalogue.refresh()
        self.app.pass_time(2)
        listed = json.loads(self.ask("GET", "/api/v1/branches.php").body)
        self.assertGreater(int(listed["master"]["build"]), 438)
        self.done(manager.resume())


class FailedTests(PhonesTestCase):
    """What a cold start costs."""

    def test_cold_start(self) -> None:
        """v27 and v29 keep the empty error for an hour, which is the price of the rule."""
        self.world.stand_in.faults.set("/", FAULTS["hang"])
        self.app.start()
        outcomes = [
            self.done(self.phone(model).check(), passing=1.25) for model in UPDATE_PHP_PHONES
        ]
        self.assertTrue(any(isinstance(outcome, Failed) for outcome in outcomes))
