"""What apps before v50 call, and two routes of 2018 (contract §0 I4, §1.2)."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote

from metro_backend.api.delivery import Delivery
from metro_backend.api.links import Links
from metro_backend.api.questions import Questions, Unready, argument
from metro_backend.api.rendered import Rendered
from metro_backend.api.reporting import report
from metro_backend.api.responses import HTML, body, empty, unavailable
from metro_backend.api.routing import route
from metro_backend.branches.catalogue import RETRY_AFTER
from metro_backend.branches.model import Branch, Snapshot
from metro_backend.server import Request
from metro_backend.stats.reports import Era
from metro_backend.stats.statistics import Statistics

CHECK_KEY = b"2fv3bYW6x92V3Y7gM5FfT7Wmh<br>"
"""Apps v4 to v20 take this line for the proof that the internet is there."""


def render_update(snapshot: Snapshot, base: str) -> bytes:
    """Render the pseudo-XML of 2016 on one line; `beta` is always there (contract §2.4, R)."""
    branches = dict(snapshot.branches)
    if snapshot.beta is not None:
        branches["beta"] = snapshot.beta
    return "".join(_branch(name, branch, base) for name, branch in branches.items()).encode()


def _branch(name: str, branch: Branch, base: str) -> str:
    # Newlines survive only as <br />; what a commit message holds must stay text.
    message = re.sub(r"\r\n|\r|\n", "<br />\r\n", escape(branch.message, quote=False))
    url = f"{base}/update.php?download={quote(name, safe='')}"
    keys = {
        "version": str(branch.version),
        "build": str(branch.build),
        "by_build": "1" if branch.by_build else "0",
        "url": escape(url),
        "message": message,
    }
    inner = "".join(f'<key id="{key}">{value}</key>' for key, value in keys.items())
    return f'<branch id="{escape(name)}">{inner}</branch>'


class Legacy:
    """The files of the first back end."""

    def __init__(
        self, questions: Questions, links: Links, delivery: Delivery, statistics: Statistics
    ) -> None:
        """Take what it answers from."""
        self._questions = questions
        self._links = links
        self._delivery = delivery
        self._statistics = statistics
        self._rendered = Rendered(render_update)

    @route("/check.php", "GET", "POST")
    def check(self, request: Request) -> bytes:
        """Prove that the internet is there, and count the report that may come along."""
        report(request, self._statistics, Era.CHECK)
        request.setHeader(b"Cache-Control", b"no-store")
        return body(request, CHECK_KEY, HTML)

    @route("/report.php", "POST")
    @route("/send", "POST")
    @route("/acra/send", "POST")
    def discard(self, request: Request) -> bytes:
        """Take logs and crash reports, which hold users' data, and keep nothing of them."""
        self._statistics.count("report.discarded")
        return empty(request, 200, HTML)

    @route("/update.php", "GET")
    async def update(self, request: Request) -> bytes | None:
        """List the branches for apps v21 to v49, or give one's file to a browser.

        They never check the status and keep any body for an hour, so there is
        none in an error (contract §0, I3).
        """
        try:
            snapshot = await self._questions.snapshot()
        except Unready:
            return unavailable(request, RETRY_AFTER, silent=True)
        name = argument(request, b"download")
        if name is None:
            if request.method == b"GET":
                self._statistics.update_check()
            page = self._rendered.get(snapshot, self._links.base(request))
            return self._questions.answer(request, snapshot, page, HTML)
        branch = snapshot.beta if name == "beta" and snapshot.beta else snapshot.find(name)
        if branch is None:
            return empty(request, 404)
        return await self._delivery.send_newest(request, branch.artifact)
