"""A stand-in for the Timeshift proxy: moves queries back in time, and their answers forth.

It does what the dashboards need of influxdb-timeshift-proxy, as that does it: GET only,
one shift in a query, the first lower and the first upper bound are moved, and
of each row of a shifted answer only the time and one value come through.
"""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

_SHIFT = re.compile(r'\bAS\s+"shift_(\d+)_(weeks|days|hours)"', re.IGNORECASE)
_BOUNDS = re.compile(r"(time\s*>=?\s*)(\d+)(ms)"), re.compile(r"(time\s*<=?\s*)(\d+)(ms)")
_UNITS = {"weeks": 7 * 86_400_000, "days": 86_400_000, "hours": 3_600_000}


class Timeshift:
    """The stand-in, on a port of its own."""

    def __init__(self, influxdb: str) -> None:
        """Take InfluxDB's URL; answers at once."""
        self.moved = 0
        """Queries that were shifted."""
        self._influxdb = influxdb
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = proxy.answer(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Close the port and end the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> bytes:
        """Pass a request on, moved if it says so."""
        arguments = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        shift = _SHIFT.search(arguments["q"])
        offset = int(shift[1]) * _UNITS[shift[2]] if shift else 0
        if offset:
            self.moved += 1
            for bound in _BOUNDS:
                arguments["q"] = bound.sub(
                    lambda found: f"{found[1]}{int(found[2]) - offset}{found[3]}",
                    arguments["q"],
                    count=1,
                )
        with urlopen(f"{self._influxdb}/query?{urlencode(arguments)}", timeout=10) as response:
            body: bytes = response.read()
        if not offset:
            return body
        document = json.loads(body)
        for result in document["results"]:
            for series in result.get("series", ()):
                series["values"] = [[row[0] + offset, row[1]] for row in series["values"]]
        return json.dumps(document).encode()
