"""Files, whole and in parts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.demo.exchange import Answer, Query
from metro_backend.demo.files import file_answer

BODY = bytes(range(100))
MODIFIED = "Wed, 09 Nov 2022 00:50:00 GMT"


def ask(body: bytes = BODY, **headers: str) -> Answer:
    """Ask for the body with these headers, their names with underscores."""
    query = Query(
        method="GET",
        path="/f",
        query="",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        base="http://127.0.0.1:1",
    )
    return file_answer(query, body, etag='"e"', modified=1_667_955_000, headers={"X": "y"})


class FileAnswerTests(SynchronousTestCase):
    """file_answer()"""

    def test_whole(self) -> None:
        """Without a range the whole file comes, with validators."""
        answer = ask()
        self.assertEqual((answer.status, answer.body), (200, BODY))
        self.assertEqual(
            answer.headers,
            {"X": "y", "Accept-Ranges": "bytes", "ETag": '"e"', "Last-Modified": MODIFIED},
        )

    def test_if_range(self) -> None:
        """A range holds only for the file that the client has a part of."""
        for validator in ('"e"', MODIFIED):
            answer = ask(range="bytes=90-", if_range=validator)
            self.assertEqual((answer.status, answer.body), (206, BODY[90:]))
        for validator in ('"other"', 'W/"e"', "Wed, 09 Nov 2022 00:50:01 GMT"):
            self.assertEqual(ask(range="bytes=90-", if_range=validator).status, 200)

    def test_preconditions(self) -> None:
        """If-None-Match gives 304, If-Match of another file 412."""
        for tags in ('"e"', '"x", "e"', "*"):
            self.assertEqual(ask(if_none_match=tags).status, 304)
            self.assertEqual(ask(if_match=tags).status, 200)
        self.assertEqual(ask(if_none_match='"x"').status, 200)
        self.assertEqual(ask(if_match='"x"', range="bytes=0-1").status, 412)

    def test_unusable(self) -> None:
        """What is no single valid range is answered with the whole file."""
        for value in ("bytes=-", "bytes=5-4", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes"):
            self.assertEqual(ask(range=value).status, 200, value)

    def test_beyond(self) -> None:
        """A range beyond the end is 416 and tells the size."""
        for value in ("bytes=100-", "bytes=100-200", "bytes=-0"):
            answer = ask(range=value)
            self.assertEqual((answer.status, answer.body), (416, b""))
            self.assertEqual(answer.headers["Content-Range"], "bytes */100")

    @settings(deadline=None)
    @given(
        st.binary(max_size=40),
        st.none() | st.integers(0, 50),
        st.none() | st.integers(0, 50),
    )
    def test_model(self, body: bytes, first: int | None, last: int | None) -> None:
        """Any single range gives the bytes of RFC 9110 §14.1.2."""
        positions = range(len(body))
        if first is not None:
            wanted = [i for i in positions if i >= first and (last is None or i <= last)]
        else:
            wanted = [i for i in positions if last is not None and i >= len(body) - last]
        text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
        answer = ask(body, range=text)
        if (first is None and last is None) or (
            first is not None and last is not None and last < first
        ):
            self.assertEqual((answer.status, answer.body), (200, body))
        elif not wanted:
            self.assertEqual(answer.status, 416)
        else:
            self.assertEqual(answer.status, 206)
            self.assertEqual(answer.body, bytes(body[i] for i in wanted))
            self.assertEqual(
                answer.headers["Content-Range"],
                f"bytes {wanted[0]}-{wanted[-1]}/{len(body)}",
            )
