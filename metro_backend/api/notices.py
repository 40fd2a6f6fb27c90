"""``/api/notify``: GitHub and Jenkins say that there is something new.

A notice is believed only so far as to ask the source itself. Each is answered
at once; whatever follows from it goes on in the background.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from werkzeug.exceptions import NotFound

from metro_backend.api.credentials import equal
from metro_backend.api.questions import argument
from metro_backend.api.responses import as_json, text
from metro_backend.api.routing import route
from metro_backend.branches.catalogue import Catalogue
from metro_backend.branches.source import text as text_of
from metro_backend.counting import Counting
from metro_backend.server import Request
from metro_backend.store import Store

REMEMBERED = 86400.0
"""Seconds for which a delivery's id is known, so that a replay is recognised."""


class Notices:
    """``/api/notify``; each route is there only if its secret is set."""

    _log = Logger()

    def __init__(
        self,
        catalogue: Catalogue,
        store: Store,
        count: Counting,
        *,
        github_secret: str,
        jenkins_token: str,
    ) -> None:
        """Take whom to tell, and the secrets that notices prove themselves with."""
        self._catalogue = catalogue
        self._store = store
        self._count = count
        self._github_secret = github_secret
        self._jenkins_token = jenkins_token

    @route("/api/notify/github", "POST")
    def github(self, request: Request) -> bytes:
        """Take a webhook, signed with HMAC-SHA256; only a release is news."""
        if not self._github_secret:
            raise NotFound
        assert request.content is not None
        body = request.content.read()
        signature = (request.getHeader(b"x-hub-signature-256") or b"").decode("latin-1")
        mac = hmac.new(self._github_secret.encode(), body, hashlib.sha256).hexdigest()
        if not equal(signature, f"sha256={mac}"):
            self._count("server.notice.refused")
            return text(request, "401 the signature is wrong\n", 401)
        event = request.getHeader(b"x-github-event") or b""
        if event != b"release":
            return as_json(request, {"status": "ignored"}, 202)
        delivery = request.getHeader(b"x-github-delivery") or mac.encode("ascii")
        self._in_background(self._once(delivery))
        return as_json(request, {"status": "accepted"}, 202)

    @route("/api/notify/jenkins", "POST")
    def jenkins(self, request: Request) -> bytes:
        """Take the Notification plugin's JSON, or nothing at all, with a token."""
        if not self._jenkins_token:
            raise NotFound
        scheme, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
        token = given.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
        if not equal(token or argument(request, b"token") or "", self._jenkins_token):
            self._count("server.notice.refused")
            return text(request, "401 the token is wrong\n", 401)
        assert request.content is not None
        news, branch = _read_notification(request.content.read())
        if not news:
            return as_json(request, {"status": "ignored"}, 202)
        self._count("server.notice.jenkins")
        self._catalogue.notice("jenkins", branch)
        return as_json(request, {"status": "accepted", "branch": branch}, 202)

    async def _once(self, delivery: bytes) -> None:
        # Hashed, because the id is as long as the sender likes.
        name = hashlib.sha256(delivery).hexdigest()
        if await self._store.add(f"delivery:{name}", b"1", REMEMBERED):
            self._count("server.notice.github")
            self._catalogue.notice("github")

    def _in_background(self, work: object) -> None:
        Deferred.fromCoroutine(work).addErrback(  # type: ignore[arg-type]
            lambda failure: self._log.failure("a notice was lost", failure)
        )


def _read_notification(body: bytes) -> tuple[bool, str | None]:
    """Return whether a build may have succeeded, and on which branch, if that is said."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return True, None
    build = value.get("build") if isinstance(value, dict) else None
    if not isinstance(build, dict):
        return True, None
    if build.get("phase") in ("QUEUED", "STARTED"):
        return False, None
    if build.get("status") in ("FAILURE", "ABORTED", "NOT_BUILT"):
        return False, None
    # job/PROJECT/job/BRANCH/ — the branch is encoded once more than its name is.
    segments = str(value.get("url", "")).strip("/").split("/")
    if len(segments) >= 4 and segments[-2] == "job" and segments[-4] == "job":
        return True, text_of(unquote(segments[-1]))
    return True, None
