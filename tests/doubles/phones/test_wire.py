"""Tests of what carries the phones: framing and exchanges, and of Java and Jsoup."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from treq.testing import RequestTraversalAgent
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocolFactory, IReactorTCP, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.doubles.phones import jsoup
from tests.doubles.phones.answers import Answer
from tests.doubles.phones.exchange import MemoryExchange, SocketExchange, only
from tests.doubles.phones.failures import (
    MalformedAnswer,
    PhoneCutOff,
    PhoneHung,
)
from tests.doubles.phones.framing import AnswerReader
from tests.doubles.phones.java import NumberFormatException, parse_int

OK = b"HTTP/1.1 200 OK\r\n"


def read(raw: bytes, *, method: str = "GET", version: str = "HTTP/1.1") -> Answer:
    """Read an answer after which the server closes."""
    reader = AnswerReader(method=method, version=version)
    reader.feed(raw)
    return reader.end()


class FramingTests(SynchronousTestCase):
    """Tests for AnswerReader."""

    def test_good_answers(self) -> None:
        """Bodies by length, by chunks and by the end of the connection are read; 100 is skipped."""
        for raw in (
            OK + b"Content-Length: 3\r\n\r\nabc",
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length:3\r\n\r\nabc",
            OK + b"Transfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n2\r\nbc\r\n0\r\nT: 1\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nabc",
        ):
            self.assertEqual(read(raw).body, b"abc", raw)

    def test_no_body(self) -> None:
        """HEAD, 204 and 304 have none, whatever their length says."""
        head = OK + b"Content-Length: 9\r\n\r\n"
        self.assertEqual(read(head, method="HEAD").body, b"")
        self.assertEqual(read(b"HTTP/1.1 204 No Content\r\n\r\n").body, b"")
        self.assertEqual(read(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").body, b"")

    def test_malformed(self) -> None:
        """Whatever RFC 9112 forbids is an error, not a guess."""
        for raw in (
            b"ICY 200 OK\r\n\r\n",
            b"HTTP/1.1 200\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            OK + b"X : 1\r\nContent-Length: 0\r\n\r\n",
            OK + b"X: 1\r\n folded\r\nContent-Length: 0\r\n\r\n",
            OK + b"X: a\nb\r\nContent-Length: 0\r\n\r\n",
            OK + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
            OK + b"Content-Length: -1\r\n\r\n",
            OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            OK + b"Transfer-Encoding: gzip\r\n\r\n",
            OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
            OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            OK + b"Content-Length: 1\r\n\r\nab",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            OK + b"X: " + b"a" * 20000,
            OK + b"X: 1\r\n" * 300 + b"\r\n",
        ):
            with self.assertRaises(MalformedAnswer, msg=repr(raw[:60])):
                read(raw)

    def test_chunks_for_http_1_0(self) -> None:
        """A client that speaks HTTP/1.0 knows no chunks."""
        with self.assertRaises(MalformedAnswer):
            read(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", version="HTTP/1.0")

    @settings(deadline=None, max_examples=60)
    @given(st.binary(max_size=40), st.lists(st.integers(0, 120), max_size=6), st.integers(0, 160))
    def test_any_pieces(self, body: bytes, cuts: list[int], end: int) -> None:
        """Pieces of any size give the same answer, and a cut anywhere is noticed."""
        raw = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        raw += (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        reader = AnswerReader(method="GET", version="HTTP/1.1")
        places = sorted({0, *(cut for cut in cuts if cut < len(raw)), len(raw)})
        for start, stop in pairwise(places):
            reader.feed(raw[start:stop])
        self.assertEqual(reader.end().body, body)
        if end < len(raw):
            with self.assertRaises(PhoneCutOff):
                read(raw[:end])


class _Wire:
    """An endpoint whose server says what it is told to, or nothing."""

    def __init__(self) -> None:
        self.transport = StringTransportWithDisconnection()
        self.protocol: Protocol | None = None

    def connect(self, factory: IProtocolFactory) -> Deferred[Protocol]:
        protocol = factory.buildProtocol(None)  # type: ignore[arg-type]
        assert isinstance(protocol, Protocol)
        self.protocol = self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        return succeed(protocol)


class SocketExchangeTests(SynchronousTestCase):
    """Tests for SocketExchange without sockets."""

    def setUp(self) -> None:
        """Connect a phone to a server that is silent."""
        self.clock = Clock()
        self.server = _Wire()
        endpoint_for = only(self.server, "a.example")  # type: ignore[arg-type]
        self.exchange = SocketExchange(self.clock, endpoint_for)

    def ask(self, url: str = "http://a.example/x?y=1", body: bytes = b"") -> Deferred[Answer]:
        """Send a request with the time-out of 2 s."""
        method = "POST" if body else "GET"
        coroutine = self.exchange.request(method, url, [("A", "b")], body, timeout=2.0)
        return ensureDeferred(coroutine)

    def test_request_bytes(self) -> None:
        """The request is exactly what was asked for, with Host and Content-Length."""
        asking = self.ask("http://a.example:81/x?y=1", b"q")
        expected = (
            b"POST /x?y=1 HTTP/1.1\r\nHost: a.example:81\r\nA: b\r\nContent-Length: 1\r\n\r\nq"
        )
        self.assertEqual(self.server.transport.value(), expected)
        assert self.server.protocol is not None
        self.server.protocol.dataReceived(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(asking).status, 200)

    def test_hangs(self) -> None:
        """A server that says nothing hangs the phone after its time-out."""
        asking = self.ask()
        self.clock.advance(1.9)
        self.assertNoResult(asking)
        self.clock.advance(0.1)
        self.failureResultOf(asking, PhoneHung)

    def test_cut(self) -> None:
        """A connection that ends too early cuts the phone off."""
        asking = self.ask()
        assert self.server.protocol is not None
        self.server.protocol.dataReceived(OK + b"Content-Length: 5\r\n\r\nab")
        self.server.transport.loseConnection()
        self.failureResultOf(asking, PhoneCutOff)

    def test_foreign_link(self) -> None:
        """A link to another host, to no host, or unencoded leads nowhere."""
        for url in ("http://b.example/", "ftp://a.example/", "/x", "http://a.example/й"):
            self.failureResultOf(self.ask(url), PhoneCutOff)


class _Page(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes | int:
        if request.path == b"/never":
            return NOT_DONE_YET
        request.setHeader(b"Content-Length", b"5")
        request.responseHeaders.addRawHeader(b"X-Twice", b"1")
        request.responseHeaders.addRawHeader(b"X-Twice", b"2")
        return b"hello"


class MemoryExchangeTests(SynchronousTestCase):
    """Tests for MemoryExchange over treq's agent."""

    def setUp(self) -> None:
        """Make an exchange with a small site."""
        self.clock = Clock()
        self.exchange = MemoryExchange(self.clock, RequestTraversalAgent(_Page()))

    def test_answer(self) -> None:
        """Status, every header and the body come through; the phone may hang up early."""
        request = self.exchange.request("POST", "http://a.example/", [], b"x", timeout=1)
        answer = self.successResultOf(ensureDeferred(request))
        self.assertEqual((answer.status, answer.body, answer.complete), (200, b"hello", True))
        self.assertEqual(answer.headers.getRawHeaders("X-Twice"), ["1", "2"])
        self.assertEqual(answer.first("Content-Length"), "5")
        request = self.exchange.request("GET", "http://a.example/", [], timeout=1, stop_after=2)
        answer = self.successResultOf(ensureDeferred(request))
        self.assertEqual((answer.body, answer.complete), (b"he", False))

    def test_hangs(self) -> None:
        """A page that is never finished hangs the phone after its time-out."""
        request = self.exchange.request("GET", "http://a.example/never", [], timeout=5)
        asking = ensureDeferred(request)
        self.clock.advance(5)
        self.failureResultOf(asking, PhoneHung)


class RealSocketTests(TestCase):
    """Tests for SocketExchange on a real socket."""

    async def test_both_versions_and_hanging_up(self) -> None:
        """HTTP/1.1, HTTP/1.0 and a phone that hangs up all work against twisted.web."""
        site = cast(Any, Site(_Page()))
        port = IReactorTCP(reactor).listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = cast(IPv4Address, port.getHost()).port
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", number)
        exchange = SocketExchange(IReactorTime(reactor), only(endpoint, "a.example"))
        url = "http://a.example/"
        for version in ("HTTP/1.1", "HTTP/1.0"):
            answer = await exchange.request("GET", url, (), timeout=30, version=version)
            self.assertEqual((answer.status, answer.body), (200, b"hello"))
        answer = await exchange.request("GET", url, (), timeout=30, stop_after=2)
        self.assertEqual((answer.body, answer.complete), (b"he", False))


class JavaTests(SynchronousTestCase):
    """Tests for Integer.parseInt."""

    def test_limits(self) -> None:
        """The ends of the range, signs, and digits of other scripts are numbers."""
        for text, number in (
            ("2147483647", 2147483647),
            ("-2147483648", -2147483648),
            ("+7", 7),
            ("٧٧", 77),
            ("007", 7),
        ):
            self.assertEqual(parse_int(text), number)
        for bad in (
            "2147483648",
            "-2147483649",
            "",
            "-",
            "+",
            " 7",
            "7 ",
            "2.3",
            "v2",
            "1_0",
            "²",
            "𝟕",
        ):
            self.assertRaises(NumberFormatException, parse_int, bad)
        self.assertRaises(NumberFormatException, parse_int, None)

    @settings(deadline=None, max_examples=200)
    @given(st.text(alphabet="+-0189 _.²٧९é", max_size=12))
    def test_grammar(self, text: str) -> None:
        """A number is one sign at most and digits, within 32 bits; all else throws."""
        if re.fullmatch(r"[+-]?\d+", text) and -(2**31) <= int(text) < 2**31:
            self.assertEqual(parse_int(text), int(text))
        else:
            self.assertRaises(NumberFormatException, parse_int, text)


class JsoupTests(SynchronousTestCase):
    """Tests for the reading of pseudo-XML."""

    def test_html(self) -> None:
        """Line feeds collapse, <br> starts a line, entities are written out."""
        key = next(jsoup.parse("<key id=x> a\n b<br />\r\nc &lt;&amp; </key>").elements("key"))
        self.assertEqual((key.attr("id"), key.attr("no")), ("x", ""))
        self.assertEqual(key.html().replace("<br>", ""), "a b\n c &lt;&amp;")

    def test_foreign_end_tags(self) -> None:
        """An end tag closes what is open by its name, and nothing if nothing is."""
        text = "<branch><key>1</b></key><key>2<i></branch><branch></key><key/>3</branch>"
        self.assertEqual(
            [branch.html() for branch in jsoup.parse(text).elements("branch")],
            ["<key>1</key><key>2<i></i></key>", "<key></key>3"],
        )
        page = jsoup.parse("<key><div>1</key>2</div>3</key>4")
        self.assertEqual(page.html(), "<key><div>12</div>3</key>4")
