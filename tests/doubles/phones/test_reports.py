"""Tests of what the phones send home, and of the visitors that are no phones."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.doubles.phones import PHONES, V4, V5, V11, Master20221104, Master20221106
from tests.doubles.phones.answers import Answer
from tests.doubles.phones.canned import Canned, Request
from tests.doubles.phones.failures import (
    PageBroken,
    PhoneCutOff,
    PhoneFailure,
    PhoneOffline,
    ReportStuck,
)
from tests.doubles.phones.markers import MARKERS, personal_traces
from tests.doubles.phones.reports import CHECK_KEY, REPORTS, reports_of
from tests.doubles.phones.visitors import GatsbyPage, LoadBalancer

GOOD = Answer(status=200, body=CHECK_KEY + b"<br>")


class SampleTests(SynchronousTestCase):
    """Tests for REPORTS."""

    def body(self, era: str, number: int = 0) -> bytes:
        """Return the body of one sample."""
        return reports_of(era)[number].body

    def test_bodies(self) -> None:
        """Each era's fields are those of the contract, in its encoding."""
        self.assertEqual(self.body("v5"), b"version=1.0-5&TRUE")
        self.assertEqual(self.body("v11"), b"version=1.3-11&automatic=1&connected=0")
        for era, present, absent in (
            ("v40", {"version", "connected", "ssid"}, {"automatic"}),
            ("v50", {"version", "success", "ssid"}, {"provider"}),
            ("v52", {"provider", "captcha", "captcha_image", "captcha_code"}, {"p"}),
            ("v56", {"p"}, {"provider"}),
            ("v63", {"bssid", "segment"}, set()),
            ("v64", {"version", "success"}, {"bssid", "segment", "ssid"}),
            ("v68", {"version_name", "version_code", "ban_count", "captcha_image"}, {"duration"}),
            ("v71", {"duration", "v3_bypass", "bssid"}, {"captcha_image"}),
            ("v72", {"branch", "duration"}, {"ban_count", "bssid"}),
            ("2021-09-13", {"uuid", "api_level"}, {"ban_count"}),
            ("2022-11-04", {"timestamp", "error", "uuid"}, set()),
        ):
            fields = set(parse_qs(self.body(era).decode(), keep_blank_values=True))
            self.assertLessEqual(present, fields, era)
            self.assertFalse(fields & absent, era)
        self.assertIn(b"success=midsession", self.body("v73"))

    def test_question_marks(self) -> None:
        """v76, v77 and the first masters start with one, before different fields; others do not."""
        marked = {report.era for report in REPORTS if report.body.startswith(b"?")}
        self.assertEqual(marked, {"v76", "v77", "2021-07-05"})
        first = {r.body.split(b"=")[0] for r in REPORTS if r.era in marked}
        self.assertIn(b"?version_code", first)
        self.assertGreaterEqual(len(first), 4)

    def test_crossings(self) -> None:
        """Forms go to v3 and JSON to v2; queues of none to a hundred, oldest first."""
        for era in ("2022-11-02", "2022-11-04", "2022-11-06"):
            routes = {report.route for report in reports_of(era)}
            self.assertEqual(routes, {"/api/v2/stats", "/api/v3/stats"})
        queues = [json.loads(report.body)["events"] for report in reports_of("2022-11-06")]
        self.assertEqual({len(events) for events in queues}, {0, 1, 3, 100})
        times = [event["timestamp"] for event in max(queues, key=len)]
        self.assertEqual(times, sorted(times))

    def test_size_of_captcha(self) -> None:
        """Some reports carry a picture of 200 KB."""
        self.assertGreater(max(len(report.body) for report in REPORTS), 200_000)

    def test_verify(self) -> None:
        """An answer is held against the phone's need, the status, Location and cookies."""
        for report in REPORTS:
            report.verify(GOOD)
            for bad in (
                Answer(status=500, body=GOOD.body),
                Answer(status=204, body=GOOD.body),
                Answer(status=200, headers=Headers({"Location": ["/"]}), body=GOOD.body),
                Answer(status=200, headers=Headers({"Set-Cookie": ["a=b;"]}), body=GOOD.body),
            ):
                self.assertRaises(PhoneFailure, report.verify, bad)

    def test_markers(self) -> None:
        """Every personal field is somewhere in the samples, and is found however it is written."""
        self.assertEqual(personal_traces(*(report.body for report in REPORTS)), set(MARKERS))
        for text in (
            "mac.5A-1D-0F-FE-ED-0B",
            "GET /x?bssid=5a%3A1d%3A0f%3Afe%3Aed%3A0b",
            "5a1d0ffeed0b",
        ):
            self.assertEqual(personal_traces(text), {"bssid"})
        self.assertEqual(personal_traces(bytes.fromhex(MARKERS["uuid"].replace("-", ""))), {"uuid"})
        self.assertEqual(personal_traces("ssid.MT_FREE_markerssid4711:1|c"), {"ssid"})
        self.assertEqual(personal_traces("provider.MosMetroV2", b"segment.metro"), set())


class ReportingPhoneTests(SynchronousTestCase):
    """Tests for Phone.report."""

    def test_everybody_is_content(self) -> None:
        """A server that always answers 200 with the key satisfies every model."""
        for model in PHONES:
            exchange = Canned(GOOD)
            self.successResultOf(ensureDeferred(model(exchange, Clock()).report()))
            self.assertTrue(exchange.requests, model)

    def test_check(self) -> None:
        """v4-v20 take themselves for offline without the key, and do not look at the status."""
        for model, requests in ((V4, 2), (V5, 2), (V11, 4)):
            exchange = Canned(Answer(status=500, body=GOOD.body))
            self.successResultOf(ensureDeferred(model(exchange, Clock()).report()))
            self.assertEqual(len(exchange.requests), requests)
            phone = model(Canned(Answer(status=200, body=b"<html>")), Clock())
            self.failureResultOf(ensureDeferred(phone.report()), PhoneOffline)

    def test_who_ignores_errors(self) -> None:
        """An error keeps only the reports of 2022 in their queues, and v4-v20 offline."""
        unhappy = set()
        for model in PHONES:
            reporting = ensureDeferred(model(Canned(Answer(status=500)), Clock()).report())
            reporting.addErrback(lambda failure: failure.trap(ReportStuck, PhoneOffline))
            if self.successResultOf(reporting) is not None:
                unhappy.add(model)
        self.assertEqual(unhappy, {V4, V5, V11, Master20221104, Master20221106})

    def test_form_has_its_type(self) -> None:
        """v4-v23 send no Content-Type, later ones that of a form."""
        for model in PHONES:
            exchange = Canned(GOOD)
            self.successResultOf(ensureDeferred(model(exchange, Clock()).report()))
            typed = {"Content-Type" in headers for _, _, headers, _ in exchange.requests}
            self.assertEqual(typed, {model.prefix != "/mosmetro" and model not in (V4, V5, V11)})


class QueueTests(SynchronousTestCase):
    """Tests for the queues of 2022-11."""

    def test_forms(self) -> None:
        """Newest first; 204 delivers; the third failure ends the round."""
        exchange = Canned(Answer(status=204))
        phone = Master20221104(exchange, Clock())
        for timestamp in range(103):
            phone.connect(timestamp)
        self.assertEqual(phone.queue, list(range(3, 103)))
        self.successResultOf(ensureDeferred(phone.deliver()))
        self.assertEqual((len(exchange.requests), phone.queue), (100, []))
        self.assertIn(b"timestamp=102", exchange.requests[0][3])

        def fail_some(request: Request) -> Answer:
            return Answer(status=200 if b"timestamp=9" in request[3] else 500)

        exchange = Canned(fail_some)
        phone = Master20221104(exchange, Clock())
        for timestamp in range(5, 11):
            phone.connect(timestamp)
        self.failureResultOf(ensureDeferred(phone.deliver()), ReportStuck)
        self.assertEqual((len(exchange.requests), phone.queue), (4, [5, 6, 7, 8, 10]))

    def test_json(self) -> None:
        """One request for all; only 200 delivers."""
        for status in (204, 202, 302, 400, 503):
            phone = Master20221106(Canned(Answer(status=status)), Clock())
            phone.connect(1)
            self.failureResultOf(ensureDeferred(phone.deliver()), ReportStuck)
            self.assertEqual(len(phone.queue), 1)
        exchange = Canned(Answer(status=200))
        phone = Master20221106(exchange, Clock(), route="/api/v2/stats")
        phone.connect(1, success=False, error=True)
        phone.connect(2)
        self.successResultOf(ensureDeferred(phone.deliver()))
        method, url, headers, body = exchange.requests[0]
        self.assertEqual((method, url), ("POST", "http://mosmetro.example/api/v2/stats"))
        self.assertEqual(headers["Content-Type"], "application/json")
        events = json.loads(body)["events"]
        self.assertEqual([event["timestamp"] for event in events], [1, 2])
        self.assertEqual(phone.queue, [])


CARD = {
    "name": "play",
    "version": "77",
    "build": "0",
    "by_build": "0",
    "message": "a\nb",
    "url": "https://mosmetro.example/api/v1/download.php?branch=play",
}


class VisitorTests(SynchronousTestCase):
    """Tests for the balancer and the web page."""

    def test_balancer(self) -> None:
        """The balancer wants 200."""
        self.successResultOf(ensureDeferred(LoadBalancer(Canned(GOOD)).probe()))
        probing = LoadBalancer(Canned(Answer(status=503))).probe("/")
        self.failureResultOf(ensureDeferred(probing), PhoneCutOff)

    def page(self, value: object, **headers: str) -> GatsbyPage:
        """Make a page that gets this JSON."""
        raw = Headers({name.replace("_", "-"): [text] for name, text in headers.items()})
        return GatsbyPage(Canned(Answer(status=200, headers=raw, body=json.dumps(value).encode())))

    def test_page(self) -> None:
        """The page shows versions with a link to the release, and builds without."""
        value = {"play": CARD, "master": {**CARD, "by_build": "1", "build": "438"}}
        page = self.page(value, Access_Control_Allow_Origin="*")
        play, master = self.successResultOf(ensureDeferred(page.load()))
        self.assertEqual((play.number, play.message), ("77", "a\nb"))
        self.assertTrue((play.release or "").endswith("/releases/tag/77"))
        self.assertEqual((master.number, master.release), ("438", None))

    def test_broken_page(self) -> None:
        """Without CORS, JSON or text in every field the page is broken."""
        self.failureResultOf(ensureDeferred(self.page({"play": CARD}).load()), PageBroken)
        bad: tuple[object, ...] = ([], {"play": 1}, {"play": {**CARD, "name": None}})
        for value in bad:
            page = self.page(value, Access_Control_Allow_Origin="*")
            self.failureResultOf(ensureDeferred(page.load()), PageBroken)
        headers = Headers({"Access-Control-Allow-Origin": ["*"]})
        page = GatsbyPage(Canned(Answer(status=502, headers=headers, body=b"<html>")))
        self.failureResultOf(ensureDeferred(page.load()), PageBroken)
