"""Where Redis is, as the configuration says it. Imports no Redis client, so settings may use it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

PORT = 6379
"""Redis' own port."""

_FORMS = "host, host:port, redis://[[user]:password@]host[:port] or unix:///path"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?")


@dataclass(frozen=True, kw_only=True)
class RedisLocation:
    """One Redis server, and how to get in."""

    host: str = ""
    """A name, an IPv4 or an IPv6 address without brackets; empty if there is a path."""
    port: int = PORT
    path: str | None = None
    """The absolute path of a UNIX socket; None means TCP."""
    username: str | None = None
    """An ACL user (Redis 6); None is the default one."""
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """The place alone, fit for a log line."""
        if self.path is not None:
            return f"unix://{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host``, ``host:port``, ``redis://…`` or ``unix:///path``.

        IPv6 addresses stand in brackets. In a URL the user and the password are
        percent-decoded; the password ends at the last ``@``. The only database is 0,
        because selecting another one is a step that can fail on each connection;
        the keys have a prefix of their own.

        Raises:
            ValueError: with a reason of one line that never quotes the text, which may
                hold a password.
        """
        text = text.strip()
        scheme, separator, rest = text.partition("://")
        if not separator:
            host, port = _host_and_port(text)
            return cls(host=host, port=port)
        # The path of a socket may hold an @ of its own.
        access, _, place = ("", "", rest) if rest.startswith("/") else rest.rpartition("@")
        username, password = _access(access)
        match scheme.lower():
            case "redis":
                host, port = _host_and_port(_without_database(place))
                return cls(host=host, port=port, username=username, password=password)
            case "unix":
                if not re.fullmatch(r"/[^\x00-\x1f?#]+", place):
                    raise ValueError(
                        "takes an absolute path after unix://, such as unix:///run/r.sock"
                    )
                return cls(path=place, username=username, password=password)
            case "rediss":
                raise ValueError("Redis over TLS is not supported; use a tunnel or a UNIX socket")
        raise ValueError(f"takes {_FORMS}")


def _access(text: str) -> tuple[str | None, str | None]:
    name, separator, secret = text.partition(":")
    try:
        username, password = unquote(name, errors="strict"), unquote(secret, errors="strict")
        (username + password).encode()
    except UnicodeError:
        raise ValueError("the user and the password must be UTF-8, percent-encoded") from None
    if username and not (separator and password):
        raise ValueError("a user needs a password: redis://user:password@host")
    return username or None, password or None


def _without_database(place: str) -> str:
    place, separator, database = place.partition("/")
    if separator and database not in ("", "0"):
        raise ValueError("takes no database but 0")
    return place


def _host_and_port(text: str) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"takes {_FORMS}; an IPv6 address stands in brackets")
    host, literal, port = match["name"], match["literal"], match["port"]
    if literal is not None:
        try:
            host = str(ipaddress.IPv6Address(literal))
        except ValueError:
            raise ValueError("takes an IPv6 address in the brackets") from None
    elif not _HOST.fullmatch(host):
        raise ValueError(f"takes {_FORMS}")
    if port is None:
        return host, PORT
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("takes a port from 1 to 65535")
    return host, int(port)
