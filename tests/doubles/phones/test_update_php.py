"""Tests of the phones that read update.php (contract §1.2)."""

from __future__ import annotations

from html import escape

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred

from tests.doubles.phones import UPDATE_PHP_PHONES, V21, V26, V27, V29, V30, V40, V46
from tests.doubles.phones.cases import HOST, PhoneTestCase, answer, branch_xml, listing
from tests.doubles.phones.failures import PhoneCrashed, PhoneMoved
from tests.doubles.phones.outcomes import (
    Failed,
    Fallback,
    MovedTo,
    NoUpdate,
    Source,
    Update,
    update_in,
)

PIECES = (
    *("</key>", "</branch>", '<branch id="play">', '<key id="build">', "<br>", "<!--", "<script>"),
    *("&", "&lt", "</", "<", ">", '"', "x", " ", "\n", "Я"),
)
"""What a commit message may be made of to be a nuisance."""


class UpdatePhpTests(PhoneTestCase):
    """Tests for v21-v49."""

    def test_bad_numbers(self) -> None:
        """A number that is none crashes v21-v28 before their own branch, and is 0 later."""
        play = branch_xml("play")
        for version in ("", "v2.3", "2147483648"):
            before = listing(branch_xml("old", version), play)
            after = listing(play, branch_xml("old", version))
            for model in UPDATE_PHP_PHONES:
                self.assert_safe((model,), after)
                if model in (V21, V26, V27):
                    self.assert_crash((model,), before, "NumberFormatException")
                else:
                    self.assert_safe((model,), before)
                    own = listing(branch_xml("play", version))
                    self.assertEqual(self.once(model, own, version_code=0), NoUpdate())

    def test_status_is_ignored(self) -> None:
        """A list with status 500 is as good as any."""
        for model in UPDATE_PHP_PHONES:
            self.assertIsInstance(self.check(self.phone(model, answer(listing(), 500))), Update)

    def test_error_page(self) -> None:
        """A page with any status is no list, and stays for an hour with v27 and later."""
        for model in UPDATE_PHP_PHONES:
            phone = self.phone(model, answer(b"<h1>Error</h1>", 503), answer(listing()))
            outcome = self.check(phone)
            assert isinstance(outcome, Failed), model
            self.assertEqual(outcome.until, None if model in (V21, V26) else 3600.0)
            second = self.check(phone)
            self.assertIsInstance(second, Update if model in (V21, V26) else Failed, model)
            self.clock.advance(3600)
            self.assertIsInstance(self.check(phone), Update, model)

    def test_empty_answer(self) -> None:
        """An empty answer makes v30 and later fall back, to their cache if they have one."""
        for model in UPDATE_PHP_PHONES:
            phone = self.phone(model, answer(b"", 503), answer(listing()), answer(b"", 503))
            first = self.check(phone)
            if model in (V21, V26, V27, V29):
                self.assertIsInstance(first, Failed, model)
                continue
            self.assertEqual(first, Fallback(source=Source.BUILT_IN, then=NoUpdate()), model)
            update = self.check(phone)
            assert isinstance(update, Update)
            self.clock.advance(86400)
            self.assertEqual(self.check(phone), Fallback(source=Source.CACHE, then=update))

    def test_own_branch_absent(self) -> None:
        """v21-v45 get nothing, v46-v49 are moved to master."""
        body = listing(branch_xml("play"), branch_xml("master", "0", "438"))
        for model in UPDATE_PHP_PHONES:
            phone = self.phone(model, answer(body), branch="beta")
            outcome = self.check(phone)
            if model is V46:
                self.assertIsInstance(outcome, MovedTo)
                self.assertRaises(PhoneMoved, phone.assert_stays, "beta")
            else:
                self.assertEqual(outcome, NoUpdate(), model)
                phone.assert_stays("beta")

    def test_links(self) -> None:
        """v21-v25 open the link of the answer, later ones their own."""
        for model, url in (
            (V21, "http://b.example/x"),
            (V26, f"{HOST}/update.php?download=play"),
            (V40, f"{HOST}/update.php?download=play"),
        ):
            xml = branch_xml("play").replace(
                f"{HOST}/update.php?download=play", "http://b.example/x"
            )
            update = self.once(model, listing(xml))
            assert isinstance(update, Update)
            self.assertEqual(update.url, url)
            self.assertTrue(
                self.exchange.requests[0][1].endswith(
                    "/mosmetro/update.php" if model is V21 else ".example/update.php"
                )
            )

    def test_messages(self) -> None:
        """Lines come through as <br> only; what was escaped is shown as entities."""
        xml = branch_xml("play", message="Версия 99:<br />\r\n* a &amp;\nb")
        update = self.once(V30, listing(xml))
        assert isinstance(update, Update)
        self.assertEqual(update.message, "Версия 99:\n * a &amp; b")

    def test_injection(self) -> None:
        """A raw message can make up branches, which moves the phone or crashes it."""
        evil = '</key></branch><branch id="play"><key id="version">x'
        xml = listing(branch_xml("master", "0", "438", message=evil), branch_xml("play"))
        self.assert_crash((V21, V26, V27), xml, "NumberFormatException")
        evil = '</key></branch><branch id="play"><key id="version">500'
        xml = listing(branch_xml("play"), branch_xml("master", "0", "438", message=evil))
        update = update_in(self.once(V30, xml))
        self.assertEqual(update and update.number, 500)

    @settings(deadline=None, max_examples=80)
    @given(
        st.lists(
            st.sampled_from(PIECES),
            max_size=8,
        )
    )
    def test_escaped_messages(self, parts: list[str]) -> None:
        """A message that is escaped, then given its <br>, changes nothing for any phone."""
        message = escape("".join(parts)).replace("\n", "<br />\r\n")
        body = listing(
            branch_xml("master", "0", "438", message), branch_xml("play", message=message)
        )
        self.assert_safe(UPDATE_PHP_PHONES, body)
        self.assertEqual(update_in(self.once(V21, body, branch="beta")), None)

    def test_crash_is_forgotten_by_nobody(self) -> None:
        """v27 keeps the answer that crashed it and crashes again; v26 asks anew."""
        bad, good = answer(listing(branch_xml("play", ""))), answer(listing())
        for model in (V26, V27):
            phone = self.phone(model, bad, good)
            self.failureResultOf(ensureDeferred(phone.check()), PhoneCrashed)
            again = ensureDeferred(phone.check())
            if model is V27:
                self.failureResultOf(again, PhoneCrashed)
            else:
                self.assertIsInstance(self.successResultOf(again), Update)
