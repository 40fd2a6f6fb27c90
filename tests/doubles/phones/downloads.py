"""What a phone downloads with: a browser, or Android's DownloadManager."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from tests.doubles.phones import pages
from tests.doubles.phones.answers import Answer
from tests.doubles.phones.exchange import Exchange
from tests.doubles.phones.failures import DownloadBroken, PhoneCutOff
from tests.doubles.phones.transport import HTML_ACCEPT

APK_TYPE = "application/vnd.android.package-archive"

APK_MAGIC = b"PK\x03\x04"

PATIENCE = 60.0
"""Seconds for one whole answer: a person waits longer than an app, but not for ever."""

_QUOTED_NAME = re.compile(r'attachment;(?:.*;)?\s*filename="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file that can be installed."""

    url: str
    """Where it finally came from."""
    filename: str
    body: bytes
    hops: int
    """Redirects and pages on the way, of the first request."""
    requests: int
    """Requests for the file itself: more than one if it was resumed."""


class Browser:
    """Opens a link, follows redirects and the page that leads to the file.

    It looks like any browser; the old ones differ in that they take the file's name
    from the URL unless Content-Disposition quotes it.
    """

    user_agent = (
        "Mozilla/5.0 (Linux; U; Android 4.0.3; ru-ru) AppleWebKit/534.30 "
        "(KHTML, like Gecko) Version/4.0 Mobile Safari/534.30"
    )

    def __init__(self, exchange: Exchange, *, script: bool = True) -> None:
        """Take the way to the server; without `script` the owner taps the link of a page."""
        self._exchange = exchange
        self._script = script

    async def open(self, url: str) -> Download:
        """Open a link that promises a file. Raises DownloadBroken, PageBroken, PhoneCutOff."""
        headers = (
            ("User-Agent", self.user_agent),
            ("Accept", HTML_ACCEPT),
            ("Accept-Encoding", "gzip"),
        )
        for hops in range(10):
            answer = await self._exchange.request("GET", url, headers, timeout=PATIENCE)
            target = _redirect(answer)
            if target is None and answer.status == 200 and answer.mime == "text/html":
                target = pages.way_on(answer.text, script=self._script)
            if target is None:
                _check_status(answer, 200)
                _check_file(answer, answer.body)
                if answer.mime != APK_TYPE:
                    raise DownloadBroken(f"{url}: a file of type {answer.mime or 'unknown'}")
                return Download(
                    url=url, filename=_name(answer, url), body=answer.body, hops=hops, requests=1
                )
            url = urljoin(url, target)
        raise PhoneCutOff(f"{url}: more than 10 hops")


class DownloadManager:
    """Android's own, one download each: no Accept, identity coding, resumes by If-Match and Range.

    The rules are those that the contract marks [AOSP].
    """

    def __init__(self, exchange: Exchange, *, android: int) -> None:
        """Take the way to the server and the phone's API level."""
        self._exchange = exchange
        self._android = android
        self._url = ""
        self._arrived_at = ""
        self._hops = 0
        self._requests = 0
        self._first: Answer | None = None
        self._held = bytearray()

    @property
    def held(self) -> int:
        """Bytes that are on the phone so far."""
        return len(self._held)

    async def fetch(self, url: str) -> Download:
        """Fetch a file in one go. Raises DownloadBroken, PhoneCutOff, PhoneHung."""
        await self._start(url, None)
        return self._finish()

    async def begin(self, url: str, *, lose_after: int) -> None:
        """Start, and lose the network after so many bytes. Raises as `fetch`."""
        await self._start(url, lose_after)

    async def resume(self) -> Download:
        """Fetch what is missing. Raises as `fetch`; what is there is deleted for 412 and 416."""
        await self._go_on(None)
        return self._finish()

    async def resume_and_lose(self, *, lose_after: int) -> None:
        """Fetch so many bytes more, and lose the network again. Raises as `fetch`."""
        await self._go_on(lose_after)

    async def _start(self, url: str, lose_after: int | None) -> None:
        self._url, self._requests = url, 0
        self._held.clear()
        answer = await self._request((), lose_after)
        _check_status(answer, 200)
        self._first = answer
        self._held += answer.body

    async def _go_on(self, lose_after: int | None) -> None:
        first = self._first
        assert first is not None, "nothing was begun"
        etag, total = first.first("ETag"), _total(first)
        if etag is None or total is None:
            raise DownloadBroken("without ETag and Content-Length nothing can be resumed")
        start = len(self._held)
        headers = (("If-Match", etag), ("Range", f"bytes={start}-"))
        answer = await self._request(headers, lose_after)
        if answer.status in (412, 416):
            self._held.clear()
        _check_status(answer, 206)
        wanted = f"bytes {start}-{total - 1}/{total}"
        if answer.first("Content-Range") != wanted or _total(answer) != total - start:
            raise DownloadBroken(f"{answer.first('Content-Range')} instead of {wanted}")
        self._held += answer.body

    async def _request(self, extra: tuple[tuple[str, str], ...], lose_after: int | None) -> Answer:
        headers = (
            ("User-Agent", "AndroidDownloadManager/7.0 (Linux; U; Android 7.0; SM-G930V)"),
            ("Accept-Encoding", "identity"),
            *extra,
        )
        url = self._url
        for hops in range(6):
            answer = await self._exchange.request(
                "GET", url, headers, timeout=PATIENCE, stop_after=lose_after
            )
            target = _redirect(answer)
            if target is None:
                if answer.first("Content-Encoding") is not None:
                    raise DownloadBroken("a content coding, though identity was asked for")
                self._requests += 1
                if self._requests == 1:
                    self._hops, self._arrived_at = hops, url
                return answer
            url = urljoin(url, target)
        raise PhoneCutOff(f"{self._url}: more than 5 redirects")

    def _finish(self) -> Download:
        first = self._first
        assert first is not None
        body = bytes(self._held)
        _check_file(first, body)
        # From Android 7 on the file is opened with the type that the server gave.
        if self._android >= 24 and first.mime != APK_TYPE:
            raise DownloadBroken(f"Android cannot install a file of type {first.mime or 'unknown'}")
        return Download(
            url=self._arrived_at,
            filename=_name(first, self._arrived_at),
            body=body,
            hops=self._hops,
            requests=self._requests,
        )


def _redirect(answer: Answer) -> str | None:
    return answer.first("Location") if answer.status in (301, 302, 303, 307, 308) else None


def _total(answer: Answer) -> int | None:
    length = answer.first("Content-Length")
    return None if length is None else int(length)


def _check_status(answer: Answer, wanted: int) -> None:
    if answer.status != wanted:
        raise DownloadBroken(f"status {answer.status} instead of {wanted}", answer.status)


def _check_file(first: Answer, body: bytes) -> None:
    total = _total(first)
    if total is None:
        raise DownloadBroken("no Content-Length: no progress is shown, nothing can be resumed")
    if len(body) != total:
        raise DownloadBroken(f"{len(body)} bytes instead of {total}")
    if not body.startswith(APK_MAGIC):
        raise DownloadBroken(f"parse error: the file starts with {body[:15]!r}")


def _name(answer: Answer, url: str) -> str:
    match = _QUOTED_NAME.search(answer.first("Content-Disposition") or "")
    if match:
        name = re.sub(r"\\(.)", r"\1", match[1])
    else:
        name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not name.endswith(".apk") or "/" in name:
        raise DownloadBroken(f"the file would be saved as {name!r}")
    return name
