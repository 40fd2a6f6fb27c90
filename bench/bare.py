"""``python -m bench.bare KIND FILE``: the least that Twisted needs to serve the same bytes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet import reactor
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from twisted.web.static import File

PATH = "/api/v1/branches.php"
STATS = "/api/v2/stats"


class _Same(Resource):
    """Always the same bytes."""

    isLeaf = True

    def __init__(self, content: bytes, fields: Iterable[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self._content = content
        self._fields = tuple(fields)

    def render_GET(self, request: Request) -> bytes:
        for name, value in self._fields:
            request.setHeader(name, value)
        return self._content


def resource(path: Path) -> IResource:
    """Make a resource that says no more than type and length, which is said by Twisted."""
    return _Same(path.read_bytes(), [(b"Content-Type", b"application/json")])


def answer(path: Path) -> IResource:
    """Make a resource that sends the header fields, too, that are in a file beside the body."""
    fields: dict[str, str] = json.loads(path.with_suffix(".headers").read_bytes())
    encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]
    return _Same(path.read_bytes(), encoded)


def klein(path: Path) -> IResource:
    """Make an app with a route for the list, and one that reads a report and answers empty."""
    app = Klein()
    content = path.read_bytes()

    @app.route(PATH, methods=["GET"])
    def branches(request: Any) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        request.setHeader(b"Content-Length", b"%d" % len(content))
        return content

    @app.route(STATS, methods=["POST"])
    def stats(request: Any) -> bytes:
        request.content.read()
        request.setHeader(b"Content-Length", b"0")
        return b""

    made: IResource = app.resource()
    return made


def file(path: Path) -> IResource:
    """Make Twisted's own server of files, for the file's directory."""
    return File(str(path.parent))


class _Site(Site):
    """No access log: the server that is measured writes none either."""

    def log(self, request: Request) -> None:
        """See above."""


KINDS: dict[str, Callable[[Path], IResource]] = {
    "resource": resource,
    "answer": answer,
    "klein": klein,
    "file": file,
}


def main() -> None:
    """Serve until SIGTERM."""
    site: Any = _Site(KINDS[sys.argv[1]](Path(sys.argv[2])))
    port: Any = reactor.listenTCP(0, site, interface="127.0.0.1")
    print(f"listening on http://127.0.0.1:{port.getHost().port}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
