"""Conditional requests and ranges, held against a small model of RFC 9110."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from metro_backend.mirror.ranges import evaluate

ETAG = b'"0123456789abcdef"'
MODIFIED = 1_667_850_000


def date(when: int) -> bytes:
    """Write an HTTP date."""
    return formatdate(when, usegmt=True).encode()


def ask(
    fields: dict[bytes, bytes | list[bytes]], size: int = 1000, method: bytes = b"GET"
) -> tuple[int, int, int]:
    """Evaluate a request with these header fields."""
    headers = Headers()
    for name, value in fields.items():
        headers.setRawHeaders(name, value if isinstance(value, list) else [value])
    plan = evaluate(method, headers, ETAG, MODIFIED, size)
    return plan.status, plan.start, plan.stop


def selected(size: int, first: int | None, last: int | None) -> set[int]:
    """Say, position by position, which bytes a range-spec names (RFC 9110 §14.1.1 and §14.1.2)."""
    if first is None:
        assert last is not None
        return {at for at in range(size) if at >= size - last}
    return {at for at in range(size) if at >= first and (last is None or at <= last)}


class RangeTests(SynchronousTestCase):
    """Which bytes are sent."""

    @settings(deadline=None, max_examples=300)
    @given(
        size=st.integers(0, 40),
        first=st.none() | st.integers(0, 60),
        last=st.none() | st.integers(0, 60),
        zeros=st.integers(0, 2),
    )
    def test_one_range_is_the_models(
        self, size: int, first: int | None, last: int | None, zeros: int
    ) -> None:
        """One valid range-spec gives exactly the bytes that it names, or 416 if it names none."""
        if first is None and last is None:
            return
        text = "-".join("" if n is None else "0" * zeros + str(n) for n in (first, last))
        status, start, stop = ask({b"Range": f"bytes={text}".encode()}, size)
        whole = set(range(size))
        if first is not None and last is not None and last < first:
            # An invalid spec is no range at all.
            self.assertEqual((status, start, stop), (200, 0, size))
        elif first is None and last and not size:
            self.assertEqual((status, start, stop), (200, 0, 0))
        elif named := selected(size, first, last):
            self.assertEqual((status, set(range(start, stop))), (206, named))
            self.assertLessEqual(named, whole)
        else:
            self.assertEqual((status, start, stop), (416, 0, 0))

    @settings(deadline=None, max_examples=300)
    @given(value=st.binary(max_size=60), unit=st.sampled_from([b"", b"bytes=", b"bytes=0-", b"x="]))
    def test_anything_is_survived(self, value: bytes, unit: bytes) -> None:
        """Whatever Range says, the answer lies within the file."""
        status, start, stop = ask({b"Range": unit + value})
        self.assertIn(status, (200, 206, 416))
        self.assertTrue(0 <= start <= stop <= 1000)
        if status == 206:
            self.assertLess(start, stop)

    def test_several_ranges_give_the_whole(self) -> None:
        """A request cannot make the server send more than the file."""
        for value in (b"bytes=0-1,3-4", b"bytes=" + b"0-," * 999 + b"0-", b"bytes=-5,-5"):
            self.assertEqual(ask({b"Range": value}), (200, 0, 1000))
        self.assertEqual(ask({b"Range": [b"bytes=0-1", b"bytes=5-6"]}), (200, 0, 1000))

    def test_malformed_ranges_give_the_whole(self) -> None:
        """What is not a range is ignored."""
        for value in (
            b"bytes",
            b"bytes=",
            b"bytes=-",
            b"bytes=a-b",
            b"bytes=1-2-3",
            b"bytes=+1-2",
            b"bytes=0x1-2",
            "bytes=٣-".encode(),
            b"items=0-1",
            b"bytes=5-4",
        ):
            self.assertEqual(ask({b"Range": value}), (200, 0, 1000), value)

    def test_lenient_forms(self) -> None:
        """The unit has no case, and a list may have empty members and blanks (RFC 9110 §5.6.1)."""
        for value in (b"Bytes=1-2", b"bytes= 1-2", b"bytes=,1-2 ,", b"bytes=001-02"):
            self.assertEqual(ask({b"Range": value}), (206, 1, 3), value)

    def test_huge_numbers(self) -> None:
        """Positions of any length are read as beyond the end."""
        huge = b"9" * 5000
        self.assertEqual(ask({b"Range": b"bytes=" + huge + b"-"}), (416, 0, 0))
        self.assertEqual(ask({b"Range": b"bytes=10-" + huge}), (206, 10, 1000))
        self.assertEqual(ask({b"Range": b"bytes=-" + huge}), (206, 0, 1000))

    def test_range_is_for_get_alone(self) -> None:
        """HEAD answers as if there were no Range (RFC 9110 §14.2)."""
        self.assertEqual(ask({b"Range": b"bytes=1-2"}, method=b"HEAD"), (200, 0, 1000))

    def test_beyond_the_end(self) -> None:
        """The last byte can be had, the one behind it cannot."""
        self.assertEqual(ask({b"Range": b"bytes=999-"}), (206, 999, 1000))
        self.assertEqual(ask({b"Range": b"bytes=1000-"}), (416, 0, 0))
        self.assertEqual(ask({b"Range": b"bytes=-0"}), (416, 0, 0))


class IfRangeTests(SynchronousTestCase):
    """A range that counts only if the file is still the same (RFC 9110 §13.1.5)."""

    def check(self, value: bytes, status: int) -> None:
        """Ask for a part with this If-Range."""
        plan = ask({b"Range": b"bytes=5-", b"If-Range": value})
        self.assertEqual(plan, (206, 5, 1000) if status == 206 else (200, 0, 1000), value)

    def test_etag(self) -> None:
        """Only the very ETag lets the range count; a weak one never does."""
        self.check(ETAG, 206)
        self.check(b'"other"', 200)
        self.check(b"W/" + ETAG, 200)
        self.check(ETAG.strip(b'"'), 200)
        self.check(b"*", 200)

    def test_date(self) -> None:
        """A date must be exactly the Last-Modified, in any of the three forms."""
        self.check(date(MODIFIED), 206)
        self.check(b"Monday, 07-Nov-22 19:40:00 GMT", 206)
        self.check(b"Mon Nov  7 19:40:00 2022", 206)
        self.check(date(MODIFIED - 1), 200)
        self.check(date(MODIFIED + 1), 200)
        self.check(b"yesterday", 200)

    def test_unsatisfiable_but_changed(self) -> None:
        """If the file has changed, a range beyond its end is not an error."""
        fields: dict[bytes, bytes | list[bytes]] = {
            b"Range": b"bytes=5000-",
            b"If-Range": b'"other"',
        }
        self.assertEqual(ask(fields), (200, 0, 1000))
        self.assertEqual(ask({**fields, b"If-Range": ETAG}), (416, 0, 0))


class Condition:
    """The model of one request's conditions."""

    def __init__(
        self,
        match: list[str] | None,
        unmodified: int | None,
        none_match: list[str] | None,
        since: int | None,
    ) -> None:
        self.match, self.unmodified = match, unmodified
        self.none_match, self.since = none_match, since

    def fields(self) -> dict[bytes, bytes | list[bytes]]:
        """Write them as header fields."""
        fields: dict[bytes, bytes | list[bytes]] = {}
        for name, tags in ((b"If-Match", self.match), (b"If-None-Match", self.none_match)):
            if tags is not None:
                fields[name] = ", ".join(tags).encode()
        for name, when in (
            (b"If-Unmodified-Since", self.unmodified),
            (b"If-Modified-Since", self.since),
        ):
            if when is not None:
                fields[name] = date(MODIFIED + when)
        return fields

    def status(self) -> int:
        """Go through the steps of RFC 9110 §13.2.2."""
        strong, weak = ETAG.decode(), "W/" + ETAG.decode()
        if self.match is not None:
            if not {"*", strong} & set(self.match):
                return 412
        elif self.unmodified is not None and self.unmodified < 0:
            return 412
        if self.none_match is not None:
            return 304 if {"*", strong, weak} & set(self.none_match) else 200
        return 304 if self.since is not None and self.since >= 0 else 200


TAGS = (
    st.none()
    | st.just(["*"])
    | st.lists(
        st.sampled_from(
            [ETAG.decode(), "W/" + ETAG.decode(), '"other"', 'W/"other"', '"a,b"', '""']
        ),
        min_size=1,
        max_size=4,
    )
)
WHEN = st.none() | st.integers(-2, 2)


class ConditionTests(SynchronousTestCase):
    """If-Match, If-None-Match and their dates."""

    @settings(deadline=None, max_examples=400)
    @given(condition=st.builds(Condition, TAGS, WHEN, TAGS, WHEN), head=st.booleans())
    def test_order_is_the_models(self, condition: Condition, head: bool) -> None:
        """Any combination of conditions is evaluated as the standard says."""
        plan = ask(condition.fields(), method=b"HEAD" if head else b"GET")
        self.assertEqual(plan[0], condition.status())

    def test_conditions_come_before_the_range(self) -> None:
        """A range is looked at only when no condition has answered."""
        part = {b"Range": b"bytes=5000-"}
        self.assertEqual(ask({**part, b"If-Match": b'"other"'}), (412, 0, 0))
        self.assertEqual(ask({**part, b"If-None-Match": ETAG}), (304, 0, 0))
        self.assertEqual(ask({**part, b"If-Match": ETAG}), (416, 0, 0))

    def test_resumed_download_of_androids_download_manager(self) -> None:
        """It sends If-Match and an open Range."""
        self.assertEqual(ask({b"If-Match": ETAG, b"Range": b"bytes=370-"}), (206, 370, 1000))

    def test_malformed_fields(self) -> None:
        """A malformed list matches nothing behind the flaw, a malformed date is ignored."""
        self.assertEqual(ask({b"If-Match": b"garbage"})[0], 412)
        self.assertEqual(ask({b"If-Match": b'"x", garbage, ' + ETAG})[0], 412)
        self.assertEqual(ask({b"If-Match": b", ," + ETAG})[0], 200)
        self.assertEqual(ask({b"If-None-Match": b"garbage"})[0], 200)
        self.assertEqual(ask({b"If-Modified-Since": b"soon"})[0], 200)
        self.assertEqual(ask({b"If-Unmodified-Since": b"Sun, 99 Foo"})[0], 200)
        self.assertEqual(ask({b"If-Modified-Since": [date(MODIFIED)] * 2})[0], 200)

    def test_lists_over_several_lines(self) -> None:
        """A field may be repeated; its lines are one list."""
        self.assertEqual(ask({b"If-None-Match": [b'"x"', ETAG]})[0], 304)
        self.assertEqual(ask({b"If-Match": [b'"x"', b'"y"']})[0], 412)

    @settings(deadline=None, max_examples=300)
    @given(
        name=st.sampled_from(
            [
                b"If-Match",
                b"If-None-Match",
                b"If-Modified-Since",
                b"If-Unmodified-Since",
                b"If-Range",
            ]
        ),
        value=st.binary(max_size=40)
        | st.text('Wabc/"*, 0123456789:GMTSunov-', max_size=40).map(str.encode),
    )
    def test_anything_is_survived(self, name: bytes, value: bytes) -> None:
        """No value of a condition breaks the evaluation."""
        self.assertIn(ask({name: value, b"Range": b"bytes=1-2"})[0], (200, 206, 304, 412))

    def test_zero_length_file(self) -> None:
        """An empty file has no part, but it is a file."""
        self.assertEqual(ask({}, size=0), (200, 0, 0))
        self.assertEqual(ask({b"Range": b"bytes=0-"}, size=0), (416, 0, 0))
