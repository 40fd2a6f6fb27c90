"""A client in a namespace: one connection for each request, as phones make them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from e2e.namespace import Namespace


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Door:
    """Where a server is, seen from the namespace."""

    namespace: Namespace
    host: str
    port: int

    def open(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        buffer: int = 0,
        timeout: float = 30,
    ) -> http.client.HTTPResponse:
        """Send a request, and return its answer with the body still to be read."""
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = self.namespace.connect(
            self.host, self.port, timeout=timeout, buffer=buffer
        )
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        return connection.getresponse()

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Get a path to the last byte."""
        return self._whole(self.open(path, headers=headers))

    def post(
        self, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post a body."""
        return self._whole(self.open(path, method="POST", body=body, headers=headers))

    def ready(self) -> bool:
        """Tell whether the server wants requests."""
        return self.get("/readyz").status == 200

    @staticmethod
    def _whole(response: http.client.HTTPResponse) -> Answer:
        with response:
            body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body)
