"""How each era's HTTP library sends, waits, follows and reads (contract §1.0)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from tests.doubles.phones.answers import Answer
from tests.doubles.phones.exchange import Exchange
from tests.doubles.phones.failures import MalformedAnswer, PhoneCrashed, PhoneCutOff

FORM = "application/x-www-form-urlencoded"

HTML_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"

TEXT_TYPES = frozenset(
    {
        "text/html",
        "text/plain",
        "text/xml",
        "application/json",
        "application/xml",
        "application/xhtml+xml",
        FORM,
    }
)
"""The only types whose body v76 and later read (contract §0, I9)."""

Follow = Callable[[str, str, str, int], str | None]
"""(method, URL, absolute target, status) -> the method of the next request, or None to stop."""


def follow_same_protocol(method: str, url: str, target: str, status: int) -> str | None:
    """HttpURLConnection: never from http to https or back; a POST becomes a GET."""
    if urlsplit(url).scheme != urlsplit(target).scheme:
        return None
    return "GET" if status in (300, 301, 302, 303) else None


def follow_okhttp(method: str, url: str, target: str, status: int) -> str | None:
    """OkHttp: a POST becomes a GET, and is not sent again for 307 and 308."""
    if status in (300, 301, 302, 303):
        return method if method == "HEAD" else "GET"
    return method if status in (307, 308) and method != "POST" else None


def follow_any_location(method: str, url: str, target: str, status: int) -> str | None:
    """v76 and later: whatever the status, if only there is a Location; POST stays POST."""
    return "GET" if status == 303 else method


def follow_any_location_2023(method: str, url: str, target: str, status: int) -> str | None:
    """The master of 2023: as before, but POST stays POST for 307 and 308 only."""
    return method if status in (307, 308) else "GET"


@dataclass(frozen=True, kw_only=True)
class Transport:
    """One era's HTTP library."""

    user_agent: str | None
    timeout: float
    """Seconds for one request. Stricter than the libraries, which count pauses."""
    follow: Follow
    hops: int = 20
    retries: int = 0
    """How often an update check is tried again."""
    headers: tuple[tuple[str, str], ...] = ()
    asks_gzip: bool = True
    upgrade_insecure: bool = False
    cuts_cookies: bool = False
    """Crashes on a Set-Cookie without a semicolon (contract §0, I7)."""
    reads_text_only: bool = False

    def headers_for(self, url: str) -> list[tuple[str, str]]:
        """Return what is sent with every request."""
        sent = list(self.headers)
        if self.user_agent is not None:
            sent.append(("User-Agent", self.user_agent))
        if self.upgrade_insecure and url.startswith("http:"):
            sent.append(("Upgrade-Insecure-Requests", "1"))
        if self.asks_gzip:
            sent.append(("Accept-Encoding", "gzip"))
        return sent


_DALVIK = "Dalvik/1.6.0 (Linux; U; Android 4.4.2; GT-I9300 Build/KOT49H)"
_CHROME_54 = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/54.0.2840.99 Safari/537.36"
)
_MOBILE = (
    "Mozilla/5.0 (Linux; Android 7.0; SM-G930V) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/59.0.3071.125 Mobile Safari/537.36"
)
_KEEP_ALIVE = ("Connection", "Keep-Alive")
_ACCEPT = ("Accept", HTML_ACCEPT)

V4 = Transport(
    user_agent=_DALVIK,
    timeout=2.0,
    retries=3,
    follow=follow_same_protocol,
    headers=(_KEEP_ALIVE,),
    asks_gzip=False,
    cuts_cookies=True,
)
"""v4-v23: HttpURLConnection."""

V24 = Transport(
    user_agent="okhttp/3.2.0", timeout=10.0, follow=follow_okhttp, headers=(_KEEP_ALIVE,)
)
"""v24-v39."""

V40 = replace(V24, user_agent=_DALVIK)
"""v40-v47: the system's http.agent."""

V48 = replace(V40, user_agent=_CHROME_54, headers=(_KEEP_ALIVE, _ACCEPT))
"""v48-v51: a fake Chrome, and Accept: text/html even for JSON."""

V52 = replace(V48, timeout=5.0)
"""v52-v63."""

V64 = replace(V52, user_agent=_MOBILE)
"""v64-v65 and v70: one of a list of browsers."""

V66 = replace(V52, user_agent="okhttp/3.8.1")
"""v66-v69: no User-Agent of its own."""

V71 = replace(
    V64, headers=(_KEEP_ALIVE, _ACCEPT, ("Accept-Language", "ru-RU")), upgrade_insecure=True
)
"""v71-v75."""

V76 = replace(
    V71,
    headers=(("Connection", "close"), _ACCEPT, ("Accept-Language", "ru-RU")),
    follow=follow_any_location,
    hops=10,
    reads_text_only=True,
)
"""v76, v77 and the masters after them."""

MASTER_2023 = replace(V76, follow=follow_any_location_2023)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The last answer of a chain, as the app gets to see it."""

    answer: Answer
    """Its body is decoded."""
    url: str
    hops: int


async def send(
    exchange: Exchange,
    transport: Transport,
    method: str,
    url: str,
    body: bytes = b"",
    content_type: str | None = None,
) -> Reply:
    """Send as the transport does, follow what it follows, and decode what comes.

    Raises:
        PhoneHung: if one answer took longer than the transport waits.
        PhoneCutOff: if no whole answer came, or a report was turned into a GET.
        PhoneCrashed: if the transport chokes on a cookie.
    """
    for hop in range(transport.hops + 1):
        headers = transport.headers_for(url)
        if content_type is not None and method == "POST":
            headers.append(("Content-Type", content_type))
        answer = await exchange.request(method, url, headers, body, timeout=transport.timeout)
        if transport.cuts_cookies:
            cut_cookies(answer)
        location = answer.first("Location")
        target = None if location is None else urljoin(url, location)
        next_method = target and transport.follow(method, url, target, answer.status)
        if not target or not next_method:
            return Reply(answer=_readable(answer, transport), url=url, hops=hop)
        if method == "POST" and next_method != "POST":
            raise PhoneCutOff(f"POST {url}: {answer.status} turned the report into a GET")
        method, url = next_method, target
    raise PhoneCutOff(f"{url}: more than {transport.hops} redirects")


def cut_cookies(answer: Answer) -> None:
    """Read cookies as v4-v23 do: ``substring(0, indexOf(';'))``."""
    for cookie in answer.headers.getRawHeaders("Set-Cookie") or ():
        if ";" not in cookie:
            raise PhoneCrashed("StringIndexOutOfBoundsException", f"Set-Cookie: {cookie}")


def _readable(answer: Answer, transport: Transport) -> Answer:
    coding = answer.first("Content-Encoding")
    if coding is not None and (coding.lower() != "gzip" or not transport.asks_gzip):
        raise MalformedAnswer(f"Content-Encoding: {coding}, which nobody asked for")
    if coding is not None:
        try:
            answer = replace(answer, body=gzip.decompress(answer.body))
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedAnswer(f"not gzip: {error}") from error
    if transport.reads_text_only and answer.mime not in TEXT_TYPES:
        answer = replace(answer, body=b"")
    return answer
