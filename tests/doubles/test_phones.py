"""Tests of the phones' update checks: each bad row of contract §2.3 must be able to fail."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from tests.doubles.phones import (
    BRANCHES_PHP_PHONES,
    UPDATE_PHP_PHONES,
    UPDATING_PHONES,
    V21,
    V26,
    V50,
    V52,
    V56,
    V63,
    V64,
    V68,
    V76,
    V77,
    Master202107,
    Master202109,
)
from tests.doubles.phones.answers import Answer
from tests.doubles.phones.canned import Canned
from tests.doubles.phones.cases import (
    Models,
    PhoneTestCase,
    answer,
    branches,
    entry,
    good_for,
)
from tests.doubles.phones.downloads import APK_TYPE
from tests.doubles.phones.failures import PhoneHung, PhoneMoved
from tests.doubles.phones.outcomes import (
    Failed,
    Fallback,
    MovedTo,
    NoUpdate,
    Source,
    Update,
    update_in,
)

OLD_JSON: Models = (V50, V52, V56, V63, V64)
"""v50-v65."""
NEW_JSON: Models = tuple(model for model in BRANCHES_PHP_PHONES if model not in OLD_JSON)
"""v66 and later."""
SINCE_71: Models = tuple(model for model in NEW_JSON if model is not V68)
CACHE_ANY: Models = (V50, V52, V56)
"""v50-v62."""


class EveryModelTests(PhoneTestCase):
    """Tests that all updating models pass."""

    def test_good_list(self) -> None:
        """All see the update of a branch by version and of one by build, and stay on it."""
        for model in UPDATING_PHONES:
            phone = self.phone(model, good_for(model))
            update = self.check(phone)
            assert isinstance(update, Update), model
            self.assertEqual((update.branch, update.number), ("play", 99))
            phone.assert_stays("play")
            self.assertRaises(PhoneMoved, phone.assert_stays, "master")
            for build, number in ((437, 438), (438, None), (439, None)):
                phone = self.phone(model, good_for(model), branch="master", build=build)
                found = update_in(self.check(phone))
                self.assertEqual(found and found.number, number, model)
                phone.assert_stays("master")

    def test_decision(self) -> None:
        """What is installed or was declined is not offered again."""
        for model in UPDATING_PHONES:
            for more in ({"version_code": 99}, {"ignored": 99}):
                phone = self.phone(model, good_for(model), **more)
                self.assertEqual(self.check(phone), NoUpdate(), model)

    def test_hangs(self) -> None:
        """A time-out is loud; only v21-v23 try again, three times."""
        for model in UPDATING_PHONES:
            exchange = Canned(PhoneHung("2 s"))
            checking = ensureDeferred(model(exchange, Clock()).check())
            self.failureResultOf(checking, PhoneHung)
            self.assertEqual(len(exchange.requests), 4 if model is V21 else 1)

    def test_cache(self) -> None:
        """v27 and later do not ask again within the hour."""
        for model in UPDATING_PHONES:
            phone = self.phone(model, good_for(model))
            self.check(phone)
            self.clock.advance(3599)
            self.assertIsInstance(self.check(phone), Update)
            self.assertEqual(len(self.exchange.requests), 2 if model in (V21, V26) else 1)
            self.clock.advance(1)
            self.check(phone)
            self.assertEqual(len(self.exchange.requests), 3 if model in (V21, V26) else 2)

    def test_download(self) -> None:
        """All get a file that can be installed; who uses what is in the request."""
        headers = {"Content-Type": [APK_TYPE], "Content-Length": ["4"], "ETag": ['"1"']}
        disposition = {"Content-Disposition": ['attachment; filename="a.apk"']}
        file = Answer(status=200, headers=Headers(headers | disposition), body=b"PK\x03\x04")
        for model in UPDATING_PHONES:
            phone = self.phone(model, good_for(model), file)
            update = self.check(phone)
            assert isinstance(update, Update)
            download = self.successResultOf(ensureDeferred(phone.download(update)))
            self.assertEqual(download.filename, "a.apk")
            url, sent = self.exchange.requests[1][1:3]
            managed = model in (V63, Master202107, Master202109)
            self.assertEqual("Download" in sent["User-Agent"], managed, model)
            if model in UPDATE_PHP_PHONES:
                self.assertTrue(url.endswith("/update.php?download=play"), url)
            elif model in (Master202107, Master202109):
                self.assertIn("/api/v2/download/play?uuid=", url)
            else:
                self.assertTrue(url.endswith("/api/v1/download.php?branch=play"), url)


class BranchesPhpTests(PhoneTestCase):
    """Tests for each row of the matrix in contract §2.3."""

    def test_harmless_fields(self) -> None:
        """What nobody reads may be of any type; absent description and stable are fine."""
        self.assert_safe(BRANCHES_PHP_PHONES, branches(entry(build=7, extra=[1], name=5)))
        self.assert_safe(BRANCHES_PHP_PHONES, branches(entry(description=None, stable=...)))

    def test_numbers_as_numbers(self) -> None:
        """version or build as a JSON number crashes all."""
        bad = branches(entry(version=99))
        self.assert_crash(BRANCHES_PHP_PHONES, bad, "ClassCastException")
        bad = branches(entry(by_build="1", build=438))
        self.assert_crash(BRANCHES_PHP_PHONES, bad, "ClassCastException")

    def test_by_build(self) -> None:
        """by_build as true or 1 means version 0, which never updates."""
        for by_build in (True, 1):
            bad = branches(entry(by_build=by_build, build="438", version="0"))
            for model in BRANCHES_PHP_PHONES:
                self.assertEqual(self.once(model, bad), NoUpdate(), model)

    def test_tags(self) -> None:
        """A tag that is no number crashes v50-v65 on any branch, and is skipped later."""
        for version in ("v2.3", "2.3.2", "2147483648", ""):
            bad = branches(old=entry(version=version))
            self.assert_crash(OLD_JSON, bad, "NumberFormatException")
            self.assert_safe(NEW_JSON, bad)

    def test_null_message(self) -> None:
        """A message that is null or absent crashes all."""
        for message in (None, ...):
            bad = branches(entry(message=message))
            self.assert_crash(BRANCHES_PHP_PHONES, bad, "NullPointerException")

    def test_stable_and_description(self) -> None:
        """A wrong stable or description crashes v71 and later, nobody before."""
        for field, value, exception in (
            ("stable", None, "NullPointerException"),
            ("stable", "true", "ClassCastException"),
            ("description", 5, "ClassCastException"),
        ):
            bad = branches(entry(**{field: value}))
            self.assert_crash(SINCE_71, bad, exception)
            self.assert_safe((*OLD_JSON, V68), bad)

    def test_extra_keys(self) -> None:
        """Anything but an object at the top level crashes all (I1)."""
        for extra in (1, "x", [1]):
            self.assert_crash(BRANCHES_PHP_PHONES, branches(_meta=extra), "ClassCastException")

    def test_other_roots(self) -> None:
        """[] and null crash all; {} is no update, but kills v64 (I3)."""
        self.assert_crash(BRANCHES_PHP_PHONES, b"[]", "ClassCastException")
        self.assert_crash(BRANCHES_PHP_PHONES, b"null", "NullPointerException")
        self.assert_crash((V64,), b"{}", "NullPointerException")
        for model in BRANCHES_PHP_PHONES:
            if model is not V64:
                self.assertEqual(self.once(model, b"{}"), NoUpdate(), model)

    def test_no_json(self) -> None:
        """HTML or nothing with 200 poisons v50-v62 for an hour; later ones fall back."""
        nothing = Fallback(source=Source.BUILT_IN, then=NoUpdate())
        for body in (b"<html>", b""):
            for model in BRANCHES_PHP_PHONES:
                phone = self.phone(model, answer(body), answer(branches()))
                first, second = self.check(phone), self.check(phone)
                if model in CACHE_ANY:
                    assert isinstance(first, Failed) and isinstance(second, Failed), model
                    self.assertEqual((first.until, second.until), (3600.0, 3600.0))
                    phone.clear_data()
                    second = self.check(phone)
                else:
                    self.assertEqual(first, nothing, model)
                self.assertIsInstance(second, Update, model)

    def test_errors(self) -> None:
        """A status other than 200 leads to the cache, however old, or to no update at all."""
        for model in BRANCHES_PHP_PHONES:
            phone = self.phone(model, answer(b"[]", 503), answer(branches()), answer(b"[]", 500))
            nothing = self.check(phone)
            self.assertEqual(nothing, Fallback(source=Source.BUILT_IN, then=NoUpdate()), model)
            update = self.check(phone)
            self.clock.advance(30 * 86400)
            late = self.check(phone)
            self.assertEqual(late, Fallback(source=Source.CACHE, then=update), model)  # type: ignore[arg-type]
            phone.assert_stays("play")

    def test_own_branch_absent(self) -> None:
        """v46-v70 are moved to master, later ones are offered it; private branches are left."""
        for model in BRANCHES_PHP_PHONES:
            phone = self.phone(model, answer(branches()), branch="gone", build=500)
            outcome = self.check(phone)
            update = update_in(outcome)
            assert update is not None
            self.assertEqual((update.branch, update.number), ("master", 438))
            self.assertEqual(isinstance(outcome, MovedTo), model in (*OLD_JSON, V68), model)
            self.assertEqual(phone.branch, "master" if isinstance(outcome, MovedTo) else "gone")
            self.assertRaises(PhoneMoved, phone.assert_stays, "gone")
            phone = self.phone(model, answer(branches()), branch="_own")
            self.assertEqual(isinstance(self.check(phone), NoUpdate), model in SINCE_71)
        self.assertEqual(
            self.crash(V64, branches(master=None), branch="gone"), "NullPointerException"
        )
        self.assertEqual(self.once(V63, branches(master=None), branch="gone"), NoUpdate())

    def test_type(self) -> None:
        """A type that is no text is an empty answer to v76 and later (I9)."""
        octets = answer(branches(), mime="application/octet-stream")
        for model in BRANCHES_PHP_PHONES:
            outcome = self.check(self.phone(model, octets))
            deaf = model in (V76, V77, Master202107, Master202109)
            self.assertIsInstance(outcome, Fallback if deaf else Update, model)

    def test_uuid(self) -> None:
        """The masters of 2021 name themselves when they ask."""
        self.check(self.phone(Master202107, answer(branches())))
        self.assertIn("/branches.php?uuid=", self.exchange.requests[0][1])
