"""The gate: which characters, values and names get through, and how many."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.stats.gate import FIRST_WORDS, FOLDED, OTHER, Field, Gate, Vocabulary, cleaned

NOTHING = Vocabulary(branches=frozenset(), versions=frozenset())


class GateCase(SynchronousTestCase):
    """Makes gates that remember what they fold."""

    def gate(self, max_names: int = 100, vocabulary: Vocabulary = NOTHING) -> Gate:
        """Make a gate in its first hour."""
        self.folded: Counter[str] = Counter()
        gate = Gate(max_names, lambda title: self.folded.update([title]))
        gate.renew(0, vocabulary)
        return gate


class CleanedTests(SynchronousTestCase):
    """Characters."""

    @settings(deadline=None, max_examples=200)
    @given(st.text(max_size=200))
    def test_harmless(self, value: str) -> None:
        """Whatever the value, what is left is harmless, bounded and stays so."""
        token = cleaned(value)
        self.assertTrue(re.fullmatch("[A-Za-z0-9_-]{1,64}", token), token)
        self.assertEqual(cleaned(token), token)

    def test_examples(self) -> None:
        """Values look as they did under StatsD, and Russian can still be read."""
        for value, token in {
            "2.3.2": "2-3-2",
            "master-#258": "master-258",
            "metro_ruckus": "metro_ruckus",
            "": "null",
            "a\nb:1|c|@0.1#x\0": "a-b-1-c-0-1-x-",
            "Щука Ёж": "Shchuka-Ezh",
            "объём": "obem",
            "🚇": "-",
            "x" * 10_000: "x" * 64,
        }.items():
            self.assertEqual(cleaned(value), token)


class TokenTests(GateCase):
    """Values of one field."""

    def test_cap(self) -> None:
        """Unknown values get through up to the field's cap; the rest is folded, and counted."""
        gate = self.gate()
        cap = Field.PROVIDER.cap
        tokens = [gate.token(Field.PROVIDER, f"p{each}") for each in range(cap + 5)]
        self.assertEqual(tokens[:cap], [f"p{each}" for each in range(cap)])
        self.assertEqual(tokens[cap:], [OTHER] * 5)
        self.assertEqual(self.folded, {"provider": 5})
        self.assertEqual(gate.token(Field.PROVIDER, "p0"), "p0")

    def test_known(self) -> None:
        """Known values get through a field that is full."""
        vocabulary = Vocabulary(branches=frozenset({"feature%2Fdns"}), versions=frozenset({"438"}))
        gate = self.gate(vocabulary=vocabulary)
        for field in Field:
            for each in range(200):
                gate.token(field, f"x{each}")
        self.folded.clear()
        for field, value in {
            Field.SUCCESS: "midsession",
            Field.CAPTCHA: "recognized",
            Field.PROVIDER: "MosMetroV2mcc",
            Field.SEGMENT: "aeroexpress",
            Field.VERSION: "438",
        }.items():
            self.assertEqual(gate.token(field, value), value)
        self.assertEqual(gate.token(Field.BRANCH, "feature%2Fdns"), "feature-2Fdns")
        self.assertEqual(gate.token(Field.BRANCH, "feature/dns"), "feature-dns")
        self.assertEqual(gate.token(Field.VERSION, "77"), "77")
        self.assertEqual(gate.token(Field.VERSION, None), "null")
        self.assertFalse(self.folded)

    def test_learned(self) -> None:
        """A build that is published later becomes known at once."""
        gate = self.gate()
        for each in range(Field.VERSION.cap):
            gate.token(Field.VERSION, f"{each + 1000}")
        self.assertEqual(gate.token(Field.VERSION, "439"), OTHER)
        gate.renew(5, Vocabulary(branches=frozenset(), versions=frozenset({"439"})))
        self.assertEqual(gate.token(Field.VERSION, "439"), "439")

    def test_first_words(self) -> None:
        """No provider and no branch can be called as another kind of counter begins."""
        gate = self.gate()
        for word in FIRST_WORDS:
            self.assertEqual(gate.token(Field.PROVIDER, word), OTHER)
            self.assertEqual(gate.token(Field.BRANCH, word), OTHER)
        self.assertEqual(self.folded["provider"], len(FIRST_WORDS))

    def test_hour(self) -> None:
        """Another hour has room again."""
        gate = self.gate()
        for each in range(40):
            gate.token(Field.SEGMENT, f"s{each}")
        self.assertEqual(gate.token(Field.SEGMENT, "late"), OTHER)
        gate.renew(3601, NOTHING)
        self.assertEqual(gate.token(Field.SEGMENT, "late"), "late")


class NameTests(GateCase):
    """Names in all."""

    def test_cap(self) -> None:
        """Names of unknown words get half, reports seven eighths, the server's own the rest."""
        gate = self.gate(80)
        strange = {gate.admit(f"x{each}.success.true") for each in range(100)}
        self.assertEqual(len(strange - {FOLDED}), 40)
        known = {gate.admit(f"version.code.{each}") for each in range(78)}
        self.assertEqual(len((known | strange) - {FOLDED}), 70 - 2)
        own = {gate.admit_own(f"server.x{each}") for each in range(100)}
        self.assertEqual(len((own | known | strange) - {FOLDED}), 80 - 2)
        self.assertEqual(self.folded["names"], 60 + (78 - 28) + 90)

    def test_again(self) -> None:
        """A name that has its place keeps it for the hour, and loses it with the next."""
        gate = self.gate(40)
        gate.admit("first.success.true")
        for each in range(100):
            gate.admit(f"x{each}.success.true")
        self.assertEqual(gate.admit("first.success.true"), "first.success.true")
        gate.renew(3600, NOTHING)
        for each in range(100):
            gate.admit(f"x{each}.success.true")
        self.assertEqual(gate.admit("first.success.true"), FOLDED)
