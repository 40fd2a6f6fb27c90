"""``/``: the builds, for people, in Russian and English, without a line of script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from metro_backend.api.links import Links, release_link
from metro_backend.api.questions import Questions, Unready, argument
from metro_backend.api.rendered import Rendered, on_shelf
from metro_backend.api.responses import HTML, body
from metro_backend.api.routing import route
from metro_backend.api.templating import CONTENT_SECURITY, template
from metro_backend.branches.model import Branch, Snapshot
from metro_backend.mirror.mirror import Mirror
from metro_backend.server import Request

WORDS: Mapping[str, Mapping[str, str]] = {
    "ru": {
        "title": "Wi-Fi в метро",
        "lead": "Приложение само входит в сеть Wi-Fi московского метро.",
        "stable": "Для всех",
        "unstable": "Для тех, кто помогает проверять",
        "download": "Скачать",
        "direct": "с сайта разработчика",
        "changes": "Что нового",
        "number_by_build": "сборка",
        "number_by_version": "версия",
        "empty": "Список ещё не получен. Обновите страницу через минуту.",
        "other": "English",
        "other_lang": "en",
    },
    "en": {
        "title": "Wi-Fi in the Metro",
        "lead": "The app signs your phone in to the Wi-Fi of the Moscow metro.",
        "stable": "For everyone",
        "unstable": "For those who help to test",
        "download": "Download",
        "direct": "from the developers' site",
        "changes": "What is new",
        "number_by_build": "build",
        "number_by_version": "version",
        "empty": "There is no list yet. Please reload in a minute.",
        "other": "Русский",
        "other_lang": "ru",
    },
}


class Pages:
    """The pages for people."""

    def __init__(
        self, questions: Questions, links: Links, mirror: Mirror, stable: Sequence[str]
    ) -> None:
        """Take what the pages tell of, and the stable branches in the order to show them."""
        self._questions = questions
        self._links = links
        self._mirror = mirror
        self._order = {name: place for place, name in enumerate(stable)}
        self._index = template("index.html")
        self._rendered = Rendered(self._render)

    @route("/", "GET")
    async def index(self, request: Request) -> bytes:
        """Show every branch; also what a balancer asks over HTTP/1.0 (contract §1.1)."""
        language = _language(request)
        request.setHeader(b"Vary", b"Accept-Language")
        request.setHeader(b"Content-Language", language.encode("ascii"))
        request.setHeader(b"Content-Security-Policy", CONTENT_SECURITY)
        try:
            snapshot = await self._questions.snapshot()
        except Unready:
            # People, and a balancer that asks whether anybody is here, get a page all the same.
            return body(request, self._page(None, "", language), HTML)
        variant = language, self._links.base(request), on_shelf(snapshot, self._mirror)
        page = self._rendered.get(snapshot, variant)
        return self._questions.answer(request, snapshot, page, HTML)

    def _render(self, snapshot: Snapshot, variant: tuple[str, str, str]) -> bytes:
        language, base, _ = variant
        return self._page(snapshot, base, language)

    def _page(self, snapshot: Snapshot | None, base: str, language: str) -> bytes:
        branches = list(snapshot.branches.values()) if snapshot else []
        branches.sort(key=lambda branch: self._order.get(branch.name, len(self._order)))
        shown = [self._shown(branch, base) for branch in branches]
        groups = {
            "stable": [each for each in shown if each["stable"]],
            "unstable": [each for each in shown if not each["stable"]],
        }
        return self._index.render(words=WORDS[language], groups=groups, lang=language).encode()

    def _shown(self, branch: Branch, base: str) -> dict[str, Any]:
        artifact = branch.artifact
        size = self._mirror.size(artifact)
        made = datetime.fromtimestamp(artifact.modified, UTC) if artifact.modified else None
        return {
            "name": unquote(branch.name),
            "stable": branch.stable,
            "number": branch.number,
            "by_build": branch.by_build,
            "description": branch.description,
            "message": branch.message,
            "url": release_link(base, artifact.filename),
            "direct": artifact.url,
            "size": f"{size / 2**20:.1f} MiB" if size else None,
            "date": made.strftime("%Y-%m-%d") if made else None,
            "sha256": self._mirror.sha256(artifact),
        }


def _language(request: Request) -> str:
    asked = argument(request, b"lang")
    if asked is not None and asked in WORDS:
        return asked
    accepted = (request.getHeader(b"accept-language") or b"").decode("latin-1").lower()
    first = accepted.split(",")[0].split(";")[0].strip()
    return "en" if first and not first.startswith("ru") else "ru"
