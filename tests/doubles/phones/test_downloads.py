"""Tests of what the phones download with."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.doubles.phones.answers import Answer
from tests.doubles.phones.canned import Canned, Request
from tests.doubles.phones.downloads import APK_TYPE, Browser, DownloadManager
from tests.doubles.phones.failures import DownloadBroken, PageBroken, PhoneCutOff

APK = b"PK\x03\x04" + bytes(range(200))
URL = "http://a.example/releases/a.apk"


def file_answer(body: bytes = APK, status: int = 200, mime: str = APK_TYPE, **more: str) -> Answer:
    """Make a good answer with a file; keywords are headers, None of them leaves one out."""
    headers = {"Content-Type": mime, "Content-Length": str(len(body)), "ETag": '"1"'}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    raw = Headers({name: [value] for name, value in headers.items() if value})
    return Answer(status=status, headers=raw, body=body)


def page(html: str) -> Answer:
    """Make an answer with a page."""
    return Answer(
        status=200,
        headers=Headers({"Content-Type": ["text/html; charset=utf-8"]}),
        body=html.encode(),
    )


def redirect(target: str) -> Answer:
    """Make a redirect."""
    return Answer(status=302, headers=Headers({"Location": [target]}))


PAGE = (
    "<!doctype html><script>window.location.replace('/releases/a.apk');</script>"
    "<a href='/releases/a.apk'>Нажмите сюда</a>"
)


class BrowserTests(SynchronousTestCase):
    """Tests for Browser."""

    def test_page(self) -> None:
        """Script and link both lead from the page to the file."""
        for script in (True, False):
            exchange = Canned(page(PAGE), file_answer())
            browser = Browser(exchange, script=script)
            opening = browser.open("http://a.example/api/v1/download.php?branch=play")
            download = self.successResultOf(ensureDeferred(opening))
            self.assertEqual((download.url, download.filename), (URL, "a.apk"))
            self.assertEqual((download.body, download.hops), (APK, 1))
            self.assertIn("text/html", exchange.requests[0][2]["Accept"])

    def test_script_strings(self) -> None:
        """A JSON string leads on; one that ends early, or a page without a way, is broken."""
        good = '<script>window.location.replace("\\/releases\\/a.apk")</script>'
        opening = Browser(Canned(page(good), file_answer())).open("http://a.example/")
        self.assertEqual(self.successResultOf(ensureDeferred(opening)).url, URL)
        for bad in (
            "<script>window.location.replace('/releases/it's.apk')</script>",
            '<script>window.location.replace("/a</script>.apk")</script>',
            "<p>nothing</p>",
        ):
            opening = Browser(Canned(page(bad), file_answer())).open("http://a.example/")
            self.failureResultOf(ensureDeferred(opening), PageBroken)
        opening = Browser(Canned(page("<a>x</a>")), script=False).open("http://a.example/")
        self.failureResultOf(ensureDeferred(opening), PageBroken)

    def test_names(self) -> None:
        """The name comes from a quoted Content-Disposition, else from the URL's path."""
        php = "http://a.example/update.php?download=play"
        quoted = file_answer(Content_Disposition='attachment; filename="b.apk"')
        download = self.successResultOf(ensureDeferred(Browser(Canned(quoted)).open(php)))
        self.assertEqual(download.filename, "b.apk")
        bare = file_answer(Content_Disposition="attachment; filename=b.apk")
        self.failureResultOf(ensureDeferred(Browser(Canned(bare)).open(php)), DownloadBroken)

    def test_broken_files(self) -> None:
        """An error, a wrong type, no length, and a file that is no APK are noticed."""
        for answer in (
            file_answer(status=404),
            file_answer(mime="application/octet-stream"),
            file_answer(Content_Length=""),
            file_answer(b"<html>"),
        ):
            opening = ensureDeferred(Browser(Canned(answer)).open(URL))
            self.failureResultOf(opening, DownloadBroken)

    def test_circle(self) -> None:
        """A redirect to itself cuts the owner off."""
        opening = ensureDeferred(Browser(Canned(redirect("/"))).open("http://a.example/"))
        self.failureResultOf(opening, PhoneCutOff)


def ranges(request: Request) -> Answer:
    """Answer as a good server does."""
    headers = request[2]
    if "Range" not in headers:
        return file_answer()
    if headers["If-Match"] != '"1"':
        return file_answer(b"", 412)
    start = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
    content_range = f"bytes {start}-{len(APK) - 1}/{len(APK)}"
    return file_answer(APK[start:], 206, Content_Range=content_range)


class DownloadManagerTests(SynchronousTestCase):
    """Tests for DownloadManager."""

    def test_whole(self) -> None:
        """It sends no Accept, asks for identity, and follows redirects."""
        exchange = Canned(redirect("/releases/a.apk"), file_answer())
        fetching = DownloadManager(exchange, android=30).fetch("http://a.example/api/v2/download/a")
        download = self.successResultOf(ensureDeferred(fetching))
        self.assertEqual((download.filename, download.hops), ("a.apk", 1))
        headers = exchange.requests[0][2]
        self.assertNotIn("Accept", headers)
        self.assertEqual(headers["Accept-Encoding"], "identity")
        self.assertTrue(headers["User-Agent"].startswith("AndroidDownloadManager/"))

    def test_resumes(self) -> None:
        """What was lost is fetched with If-Match and Range, as often as it takes."""
        exchange = Canned(ranges)
        downloads = DownloadManager(exchange, android=30)
        self.successResultOf(ensureDeferred(downloads.begin(URL, lose_after=10)))
        self.successResultOf(ensureDeferred(downloads.resume_and_lose(lose_after=20)))
        self.assertEqual(downloads.held, 30)
        download = self.successResultOf(ensureDeferred(downloads.resume()))
        self.assertEqual((download.body, download.requests), (APK, 3))
        self.assertEqual(exchange.requests[2][2]["Range"], "bytes=30-")

    def resume_with(self, first: Answer, second: Answer) -> DownloadManager:
        """Lose the first answer after 10 bytes and expect that the second is of no use."""
        self.exchange = Canned(first, second)
        downloads = DownloadManager(self.exchange, android=30)
        self.successResultOf(ensureDeferred(downloads.begin(URL, lose_after=10)))
        self.failureResultOf(ensureDeferred(downloads.resume()), DownloadBroken)
        return downloads

    def test_changed_file(self) -> None:
        """412 and 416 delete what was there."""
        for status in (412, 416):
            self.assertEqual(self.resume_with(file_answer(), file_answer(b"", status)).held, 0)

    def test_wrong_part(self) -> None:
        """A whole file, another part, or a part of another length is no resumption."""
        wrong = f"bytes 9-{len(APK) - 1}/{len(APK)}"
        right = f"bytes 10-{len(APK) - 1}/{len(APK)}"
        for answer in (
            file_answer(),
            file_answer(APK[10:], 206, Content_Range=wrong),
            file_answer(APK[9:], 206, Content_Range=right),
        ):
            self.resume_with(file_answer(), answer)

    def test_nothing_to_resume_by(self) -> None:
        """Without ETag or Content-Length a lost download is lost."""
        for first in (file_answer(ETag=""), file_answer(Content_Length="")):
            self.resume_with(first, file_answer())
            self.assertEqual(len(self.exchange.requests), 1)

    def test_types(self) -> None:
        """Android 7 and later install only what the server calls an APK."""
        octets = file_answer(mime="application/octet-stream")
        self.successResultOf(ensureDeferred(DownloadManager(Canned(octets), android=23).fetch(URL)))
        self.failureResultOf(
            ensureDeferred(DownloadManager(Canned(octets), android=24).fetch(URL)), DownloadBroken
        )

    def test_page_saved_as_file(self) -> None:
        """The HTML page is saved as it is, which no phone can install; so is a coding."""
        for answer in (
            page(PAGE),
            file_answer(b"<html>"),
            file_answer(Content_Encoding="gzip"),
        ):
            fetching = DownloadManager(Canned(answer), android=21).fetch(URL)
            self.failureResultOf(ensureDeferred(fetching), DownloadBroken)
