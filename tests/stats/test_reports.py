"""Reading reports: whatever comes, it is read, and nothing personal gets through."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.stats.fields import JAVA_INT_MAX
from metro_backend.stats.reports import (
    LONGEST_DURATION,
    MOST_EVENTS,
    Era,
    Reading,
    Reason,
    Report,
    read_report,
)
from tests.stats.table import ROWS, UUID, event, queue

ERAS = st.sampled_from(Era)

NAMES = st.sampled_from(
    [
        "ban_count",
        "build_branch",
        "build_number",
        "captcha",
        "connected",
        "duration",
        "error",
        "override",
        "p",
        "provider",
        "segment",
        "success",
        "version",
        "version_code",
        "version_name",
    ]
)

VALUES = st.one_of(
    st.text(max_size=8), st.integers().map(str), st.sampled_from(["true", "²", "-1"])
)

KEYS = ("events", "uuid", "version", "result", "timestamp", "code", "duration")

JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=8), inner, max_size=3),
        st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, inner)),
    ),
    max_leaves=12,
)


def bounded(reading: Reading) -> bool:
    """Tell whether everything in a reading keeps to its type and bounds."""
    return len(reading.reports) <= MOST_EVENTS and all(map(_bounded, reading.reports))


def _bounded(report: Report) -> bool:
    texts = (report.version_name, report.build_branch, report.success, report.provider)
    numbers = (report.version_code, report.build_number, report.ban_count, report.duration)
    return all(
        text is None or (type(text) is str and 0 < len(text) <= 256) for text in texts
    ) and all(
        number is None or (type(number) is int and 0 <= number <= JAVA_INT_MAX)
        for number in numbers
    )


class AnythingTests(SynchronousTestCase):
    """No body makes reading fail."""

    @settings(deadline=None, max_examples=150)
    @given(ERAS, st.binary(max_size=200))
    def test_bytes(self, era: Era, body: bytes) -> None:
        """Any bytes give a bounded reading that accounts for them."""
        reading = read_report(era, body)
        self.assertTrue(bounded(reading))
        self.assertTrue(reading.reports or reading.rejected)

    @settings(deadline=None, max_examples=150)
    @given(ERAS, st.lists(st.tuples(NAMES, VALUES), max_size=8), st.sampled_from(["", "?", " \n"]))
    def test_forms(self, era: Era, fields: list[tuple[str, str]], start: str) -> None:
        """Any form, however encoded, gives a bounded reading."""
        body = start + "&".join(f"{name}={value}" for name, value in fields)
        self.assertTrue(bounded(read_report(era, body.encode("utf-8", "surrogatepass"))))

    @settings(deadline=None, max_examples=150)
    @given(ERAS, JSON, JSON)
    def test_json(self, era: Era, value: Any, result: Any) -> None:
        """Any JSON gives a bounded reading, in the place of the queue or of a result."""
        whole = json.dumps(value).encode()
        inner = queue(event({}, result=result), event({}, version=value), value)
        self.assertTrue(bounded(read_report(era, whole)))
        self.assertTrue(bounded(read_report(era, inner)))

    def test_deep(self) -> None:
        """JSON nested deeper than Python's stack is broken JSON."""
        self.assertEqual(read_report(Era.V3, b"[" * 200_000).rejected, {Reason.JSON: 1})
        self.assertEqual(read_report(Era.V3, b'{"a":' * 200_000).rejected, {Reason.JSON: 1})

    def test_long_number(self) -> None:
        """A number of more digits than Python converts is broken JSON, and unusable in a form."""
        digits = b"7" * 100_000
        self.assertEqual(read_report(Era.V3, b'{"events":%s}' % digits).rejected, {Reason.JSON: 1})
        reading = read_report(Era.V2, b"success=true&version_code=" + digits)
        self.assertEqual(reading.unusable, {Reason.VERSION_CODE: 1})

    def test_many_fields(self) -> None:
        """Of a form with a million fields only the first hundred are looked at."""
        body = b"success=true&" + b"a=b&" * 1_000_000 + b"version_code=77"
        (report,) = read_report(Era.V2, body).reports
        self.assertEqual((report.success, report.version_code), ("true", None))


class FieldTests(SynchronousTestCase):
    """Single fields at their edges."""

    def v2(self, body: str) -> Report:
        """Read the only report of a v2 form."""
        (report,) = read_report(Era.V2, body.encode()).reports
        return report

    def test_number_bounds(self) -> None:
        """The biggest Java int is a number; one more isn't, and a day is the longest duration."""
        self.assertEqual(self.v2(f"version_code={JAVA_INT_MAX}").version_code, JAVA_INT_MAX)
        self.assertIsNone(self.v2(f"version_code={JAVA_INT_MAX + 1}").version_code)
        most = f"success=true&duration={LONGEST_DURATION}"
        self.assertEqual(self.v2(most).duration, LONGEST_DURATION)
        self.assertIsNone(self.v2(f"success=true&duration={LONGEST_DURATION + 1}").duration)

    def test_encodings(self) -> None:
        """URL-encoding is undone where it is some, and bad UTF-8 is replaced."""
        self.assertEqual(self.v2("provider=a%20b+c").provider, "a b c")
        self.assertEqual(self.v2("provider=100%").provider, "100%")
        self.assertEqual(self.v2("provider=%D0%9C").provider, "М")
        self.assertEqual(self.v2("provider=%FF").provider, "\ufffd")

    def test_one_question_mark(self) -> None:
        """Only one leading question mark is dropped."""
        reading = read_report(Era.V2, b"??version_code=76&success=true")
        self.assertIsNone(reading.reports[0].version_code)

    def test_json_numbers(self) -> None:
        """A whole number counts, whether it came as an int, a float or a text."""
        value: object
        for value in (5, 5.0, "5"):
            (report,) = read_report(Era.V3, queue(event({"duration": value}))).reports
            self.assertEqual(report.duration, 5)
        for value in (5.5, "5.5", True, [5]):
            reading = read_report(Era.V3, queue(event({"duration": value})))
            self.assertIsNone(reading.reports[0].duration)
            self.assertEqual(reading.unusable, {Reason.DURATION: 1})


class IdentityTests(SynchronousTestCase):
    """What tells a queued event from another."""

    def identity(self, body: bytes) -> bytes | None:
        """Read the identity of the only event of a queue."""
        (report,) = read_report(Era.V3, body).reports
        return report.identity

    def test_same(self) -> None:
        """An event that is sent again is the same, whatever else is in the queue."""
        first = self.identity(queue(event()))
        again = read_report(Era.V2, queue(event(), event(timestamp=9))).reports[0].identity
        self.assertIsNotNone(first)
        self.assertEqual(first, again)

    def test_different(self) -> None:
        """Another phone, another second and another result make another event."""
        identities = {
            self.identity(queue(event())),
            self.identity(queue(event(), uuid="another")),
            self.identity(queue(event(timestamp=9))),
            self.identity(queue(event({"duration": 1}))),
        }
        self.assertEqual(len(identities), 4)

    def test_none(self) -> None:
        """Without a phone or a time, an event can't be told from another, and has no identity."""
        self.assertIsNone(self.identity(queue(event(), uuid=None)))
        self.assertIsNone(self.identity(queue(event(timestamp=None))))

    def test_private(self) -> None:
        """No report shows what is personal, not even when it is printed."""
        for row in ROWS:
            shown = repr(read_report(row.era, row.body))
            for secret in (UUID, "MT_FREE", "MosMetro_Free", "00:11", "12345", "iVBOR"):
                self.assertNotIn(secret, shown, row.title)
