"""``/api/admin``: for whoever runs the server; not there unless it is turned on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Protocol

from metro_backend.api.credentials import equal
from metro_backend.api.questions import argument
from metro_backend.api.responses import as_json, text
from metro_backend.api.routing import route
from metro_backend.api.v1 import fields
from metro_backend.branches.catalogue import Catalogue
from metro_backend.branches.model import Snapshot
from metro_backend.server import Request

REALM = "Login Required"


class Inspection(Protocol):
    """Tells how each part of the server is doing, JSON-ready."""

    def __call__(self) -> Mapping[str, Any]:
        """Look at everything now."""


class Admin:
    """``/api/admin``."""

    def __init__(
        self, catalogue: Catalogue, inspection: Inspection, username: str, password: str
    ) -> None:
        """Take the catalogue, and the credentials that open the door (RFC 7617)."""
        self._catalogue = catalogue
        self._inspection = inspection
        self._username = username
        self._password = password

    @route("/api/admin/flush", "GET", "POST")
    async def flush(self, request: Request) -> bytes:
        """Ask every source now, and answer with the list, or with who failed.

        ``?reset=NAME`` lets that branch's number go down this once.
        """
        if not self._authorized(request):
            return _challenge(request)
        reset = argument(request, b"reset")
        snapshot = self._catalogue.snapshot
        if reset is not None and (snapshot is None or reset not in snapshot.branches):
            return text(request, "404 no such branch\n", 404)
        outcome = await self._catalogue.refresh(reset=[reset] if reset else ())
        answer: dict[str, Any] = {
            "status": "failed" if outcome.failures else "success",
            "failures": dict(outcome.failures),
            "branches": _internal(outcome.snapshot),
        }
        return as_json(request, answer, 502 if outcome.failures else 200)

    @route("/api/admin/status", "GET")
    def status(self, request: Request) -> bytes:
        """Tell why each branch is on its build, and how everything else is doing."""
        if not self._authorized(request):
            return _challenge(request)
        snapshot = self._catalogue.snapshot
        answer = {
            "branches": _explained(snapshot),
            "sources": _sources(self._catalogue),
            "changed_at": snapshot.changed_at if snapshot else None,
            **self._inspection(),
        }
        return as_json(request, answer)

    def _authorized(self, request: Request) -> bool:
        scheme, _, encoded = (request.getHeader(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        username, colon, password = given.partition(":")
        # Both are always compared, so that the time does not tell which one was wrong.
        known, secret = equal(username, self._username), equal(password, self._password)
        return bool(colon) and known and secret


def _challenge(request: Request) -> bytes:
    request.setHeader(b"WWW-Authenticate", f'Basic realm="{REALM}"'.encode("ascii"))
    message = "Could not verify your access level for that URL.\n"
    return text(request, message + "You have to login with proper credentials", 401)


def _internal(snapshot: Snapshot | None) -> Mapping[str, Any]:
    branches = snapshot.branches if snapshot else {}
    return {
        name: {**fields(branch), "url": branch.artifact.url} for name, branch in branches.items()
    }


def _explained(snapshot: Snapshot | None) -> Mapping[str, Any]:
    """Say of each branch what it is on and who said so, and of the others why they are none."""
    if snapshot is None:
        return {}
    told = {
        name: {
            "number": branch.number,
            "by_build": branch.by_build,
            "source": branch.artifact.source,
            "filename": branch.artifact.filename,
            "made_at": branch.artifact.modified,
            "note": None,
        }
        for name, branch in snapshot.branches.items()
    }
    for source, state in snapshot.sources.items():
        for name, note in state.notes.items():
            told.setdefault(name, {"source": source})["note"] = note
    return told


def _sources(catalogue: Catalogue) -> Mapping[str, Any]:
    states = catalogue.snapshot.sources if catalogue.snapshot else {}
    told: dict[str, dict[str, Any]] = {}
    for name, plan in catalogue.plan().items():
        state = states.get(name)
        told[name] = {
            "succeeded_at": state.succeeded_at if state else None,
            "failed_at": state.failed_at if state else None,
            "error": state.error if state else catalogue.source_errors.get(name),
            **plan,
        }
    return told
