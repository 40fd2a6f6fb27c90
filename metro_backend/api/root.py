"""The root of the HTTP tree: what holds for every request, before a route is looked for."""

from __future__ import annotations

import re
from typing import Any

from klein import Klein
from twisted.internet.address import IPv4Address
from twisted.web.resource import Resource

from metro_backend import __version__
from metro_backend.api.links import plausible_host
from metro_backend.api.responses import text
from metro_backend.counting import Counting
from metro_backend.server import Request

PREFIX = b"mosmetro"
"""Apps of 2015 and 2016 look for everything below this (contract §1.0)."""

URI_LIMIT = 8192
"""Bytes of path and query."""

_METHOD = re.compile(rb"[A-Z]{1,16}\Z")
_PRIVATE = (b"api/admin/",)
_SERVER = f"metro-backend/{__version__}".encode("ascii")


class Root(Resource):
    """Guards, and mounts the same routes below ``/`` and ``/mosmetro/``."""

    isLeaf = True

    def __init__(self, app: Klein, count: Counting) -> None:
        """Take the app with all routes."""
        super().__init__()
        self._routes = app.resource()
        self._count = count

    def render(self, request: Request) -> Any:
        """Refuse what no route should see; let the routes answer the rest."""
        request.setHeader(b"Server", _SERVER)
        assert request.prepath is not None
        assert request.postpath is not None
        request.mounted_at = ""
        if request.postpath[:1] == [PREFIX]:
            request.prepath.append(request.postpath.pop(0))
            request.mounted_at = f"/{PREFIX.decode()}"
            if not request.postpath:
                request.postpath.append(b"")
        if not b"/".join((*request.postpath, b"")).startswith(_PRIVATE):
            request.setHeader(b"Access-Control-Allow-Origin", b"*")
        if not request.requestHeaders.hasHeader(b"host"):
            # HTTP/1.0 has none, and klein needs one; the address it came to is the best known.
            here = request.getHost()
            at = f"{here.host}:{here.port}" if isinstance(here, IPv4Address) else "localhost"
            request.requestHeaders.setRawHeaders(b"host", [at.encode("ascii")])
        reason = _objection(request)
        if reason is not None:
            self._count("server.http.bad_request")
            content = text(request, f"400 {reason}\n", 400)
            # Twisted would log the whole address of a HEAD that is answered with a body.
            return b"" if request.method == b"HEAD" else content
        return self._routes.render(request)


def _objection(request: Request) -> str | None:
    hosts = request.requestHeaders.getRawHeaders(b"host", [])
    if len(hosts) > 1 or (hosts and not plausible_host(hosts[0].decode("latin-1"))):
        # The host goes into published links, and klein stumbles over a bad one.
        return "Host is not a plausible host"
    if len(request.uri) > URI_LIMIT:
        return f"the address is longer than {URI_LIMIT} bytes"
    if _METHOD.fullmatch(request.method) is None:
        return "the method is not one"
    try:
        b"/".join(request.postpath or ()).decode()
    except UnicodeDecodeError:
        return "the path is not UTF-8"
    return None
