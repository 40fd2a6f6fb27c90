"""Where this server is, as its clients see it: the base of every published link."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import quote

from twisted.internet.address import UNIXAddress

from metro_backend.server import Request

# One way only to match each character: a client must not choose how long this takes.
_LABEL = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_HOST = re.compile(
    rf"(?:\[([0-9A-Fa-f:.]{{2,45}})\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::([0-9]{{1,5}}))?"
)


@lru_cache(maxsize=1024)
def plausible_host(host: str) -> bool:
    """Tell whether a Host header may appear in a link (RFC 9110 §7.2, RFC 1123 §2.1)."""
    found = _HOST.fullmatch(host) if len(host) <= 255 else None
    if found is None or int(found[2] or 80) > 65535:
        return False
    try:
        return found[1] is None or bool(IPv6Address(found[1]))
    except ValueError:
        return False


def release_link(base: str, filename: str) -> str:
    """Return the link to a file of the mirror, below a base or prefix."""
    return f"{base}/releases/{quote(filename, safe='')}"


class Links:
    """Makes the base of links: the configured one, or what the request says of itself."""

    def __init__(self, public_url: str, trusted_proxies: Iterable[str]) -> None:
        """Take the configured base (may be empty) and the peers whose X-Forwarded-* count."""
        self._public_url = public_url
        self._trusted = [ip_network(each, strict=False) for each in trusted_proxies]
        # Parsing an address costs more than the rest of an answer, and proxies are few.
        self._trusts_address = lru_cache(maxsize=1024)(self._is_trusted)

    def trusts(self, request: Request) -> bool:
        """Tell whether the request came through a proxy of ours."""
        peer = request.getClientAddress()
        if isinstance(peer, UNIXAddress):
            return True
        return self._trusts_address(getattr(peer, "host", ""))

    def _is_trusted(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._trusted)

    def base(self, request: Request) -> str:
        """Return scheme, host, port and prefix, without a slash at the end."""
        if self._public_url:
            return self._public_url
        scheme = "https" if request.isSecure() else "http"
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        given = request.requestHeaders
        forwards = given.hasHeader(b"x-forwarded-proto") or given.hasHeader(b"x-forwarded-host")
        if forwards and self.trusts(request):
            forwarded = _first(request, b"x-forwarded-proto").lower()
            if forwarded in ("http", "https"):
                scheme = forwarded
            forwarded = _first(request, b"x-forwarded-host")
            if plausible_host(forwarded):
                host = forwarded
        return f"{scheme}://{host}{request.mounted_at}"

    def near(self, request: Request) -> str:
        """Return what a page of ours puts before a path of ours.

        That is a path where nothing is configured: a browser knows better than we do
        by which scheme and host it came.
        """
        return self._public_url or request.mounted_at


def _first(request: Request, name: bytes) -> str:
    value: bytes = request.getHeader(name) or b""
    return value.split(b",")[0].strip().decode("latin-1")
