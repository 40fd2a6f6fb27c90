"""Which hosts the server may talk to."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

GITHUB_ASSET_HOSTS = ("github.com", ".githubusercontent.com")
"""Where api.github.com's downloads live; a leading dot stands for any host below."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class AllowedHosts:
    """The configured hosts, GitHub's asset hosts with its API, and no others.

    A redirect cannot lead anywhere else. An operator may configure a host with a
    private address, on any port. GitHub's asset hosts are not configured, so they
    are only talked to by https on its own port: whatever address a poisoned name
    leads to then has to show the right certificate.
    """

    def __init__(self, hosts: Iterable[str], secure: Iterable[str] = ()) -> None:
        """Take names; a leading dot stands for all below. Those in `secure` need https."""
        self._hosts = _Names(hosts)
        self._secure = _Names(secure)

    @classmethod
    def of(cls, *urls: str, extra: Iterable[str] = ()) -> AllowedHosts:
        """Allow the hosts of these base URLs, and GitHub's asset hosts with its API."""
        hosts = [urlsplit(url).hostname or "" for url in urls]
        secure = GITHUB_ASSET_HOSTS if "api.github.com" in hosts else ()
        return cls([*hosts, *extra], secure)

    def allow(self, url: str) -> bool:
        """Tell whether a request may go to this URL."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not host:
            return False
        if self._hosts.has(host):
            return True
        return self._secure.has(host) and parts.scheme == "https" and port in (None, 443)


class _Names:
    """A set of host names, some of which stand for all below them."""

    def __init__(self, names: Iterable[str]) -> None:
        given = {name.lower() for name in names if name}
        # Whoever configures one name of the loopback means the loopback.
        self._names = given | _LOOPBACK if given & _LOOPBACK else given
        self._suffixes = tuple(name for name in given if name.startswith("."))

    def has(self, host: str) -> bool:
        return host in self._names or host.endswith(self._suffixes)
