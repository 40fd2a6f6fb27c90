"""Tests of how each era's HTTP library follows and reads."""

from __future__ import annotations

import gzip

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.doubles.phones import transport as transports
from tests.doubles.phones.answers import Answer
from tests.doubles.phones.canned import Canned
from tests.doubles.phones.failures import PhoneCrashed, PhoneCutOff, PhoneFailure
from tests.doubles.phones.transport import send


class TransportTests(SynchronousTestCase):
    """Tests for the redirect, coding and MIME rules of each era."""

    def send(
        self,
        transport: transports.Transport,
        *answers: Answer,
        method: str = "GET",
        url: str = "http://a.example/",
    ) -> Answer:
        """Send through the transport and return the last answer."""
        self.exchange = Canned(*answers)
        coroutine = send(self.exchange, transport, method, url, b"body")
        return self.successResultOf(ensureDeferred(coroutine)).answer

    def test_redirect_policies(self) -> None:
        """Who follows what: protocols, statuses and methods as in the contract's table."""
        plain = Answer(status=200)

        def redirect(status: int, target: str = "/x") -> Answer:
            return Answer(status=status, headers=Headers({"Location": [target]}))

        secure = redirect(302, "https://a.example/")
        self.assertEqual(self.send(transports.V4, secure, plain).status, 302)
        self.assertEqual(self.send(transports.V24, secure, plain).status, 200)
        self.assertEqual(self.send(transports.V71, redirect(200), plain).status, 200)
        self.assertEqual(len(self.exchange.requests), 1)
        self.send(transports.V76, redirect(200), plain)
        self.assertEqual(len(self.exchange.requests), 2)
        self.send(transports.V76, redirect(302), plain, method="POST")
        self.assertEqual([request[0] for request in self.exchange.requests], ["POST", "POST"])
        for transport, status in (
            (transports.V4, 302),
            (transports.V24, 301),
            (transports.V76, 303),
            (transports.MASTER_2023, 302),
        ):
            exchange = Canned(redirect(status), plain)
            asking = ensureDeferred(send(exchange, transport, "POST", "http://a.example/"))
            self.failureResultOf(asking, PhoneCutOff)

    def test_endless_redirects(self) -> None:
        """A Location that leads to itself cuts v76 off after ten hops."""
        answer = Answer(status=200, headers=Headers({"Location": ["/"]}))
        exchange = Canned(answer)
        asking = ensureDeferred(send(exchange, transports.V76, "GET", "http://a.example/"))
        self.failureResultOf(asking, PhoneCutOff)
        self.assertEqual(len(exchange.requests), 11)

    def test_cookies(self) -> None:
        """v4-v23 crash on a cookie without attributes, later ones do not."""
        bad = Answer(status=200, headers=Headers({"Set-Cookie": ["a=b; path=/", "c=d"]}))
        asking = ensureDeferred(send(Canned(bad), transports.V4, "GET", "http://a.example/"))
        self.failureResultOf(asking, PhoneCrashed)
        self.assertEqual(self.send(transports.V24, bad).status, 200)

    def test_text_types(self) -> None:
        """v76 reads nothing that is not of a text type (I9)."""
        octets = Answer(
            status=200, headers=Headers({"Content-Type": ["application/octet-stream"]}), body=b"x"
        )
        text = Answer(
            status=200, headers=Headers({"Content-Type": ["Text/HTML; charset=utf-8"]}), body=b"x"
        )
        self.assertEqual(self.send(transports.V76, octets).body, b"")
        self.assertEqual(self.send(transports.V76, Answer(status=200, body=b"x")).body, b"")
        self.assertEqual(self.send(transports.V76, text).body, b"x")
        self.assertEqual(self.send(transports.V71, octets).body, b"x")

    def test_codings(self) -> None:
        """Gzip is unpacked where it was asked for, and is an error elsewhere."""
        headers = Headers({"Content-Encoding": ["gzip"]})
        packed = Answer(status=200, headers=headers, body=gzip.compress(b"x"))
        self.assertEqual(self.send(transports.V24, packed).body, b"x")
        broken = Answer(status=200, headers=headers, body=b"x")
        for transport, answer in ((transports.V4, packed), (transports.V24, broken)):
            asking = ensureDeferred(send(Canned(answer), transport, "GET", "http://a.example/"))
            self.failureResultOf(asking, PhoneFailure)
