"""The whole HTTP surface, put together from its areas."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from twisted.web.resource import IResource

from metro_backend.api.admin import Admin, Inspection
from metro_backend.api.delivery import Delivery
from metro_backend.api.health import Health
from metro_backend.api.legacy import Legacy
from metro_backend.api.links import Links
from metro_backend.api.notices import Notices
from metro_backend.api.pages import Pages
from metro_backend.api.questions import Questions
from metro_backend.api.releases import Releases
from metro_backend.api.root import Root
from metro_backend.api.routing import application
from metro_backend.api.v1 import V1
from metro_backend.api.v2 import V2
from metro_backend.api.v3 import V3
from metro_backend.branches.catalogue import Catalogue
from metro_backend.branches.module import Module
from metro_backend.mirror.mirror import Mirror
from metro_backend.mirror.responder import Responder
from metro_backend.settings import Settings
from metro_backend.stats.statistics import Statistics
from metro_backend.store import Store


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the routes answer from."""

    catalogue: Catalogue
    mirror: Mirror
    responder: Responder
    statistics: Statistics
    module: Module | None
    store: Store
    inspection: Inspection
    draining: Callable[[], bool]
    now: Callable[[], float] = time.time
    """UTC Unix time."""


def areas(settings: Settings, parts: Parts) -> list[object]:
    """Make every area that the settings turn on."""
    questions = Questions(parts.catalogue, parts.now)
    links = Links(settings.public_url, settings.trusted_proxies)
    delivery = Delivery(parts.mirror, parts.responder)
    made: list[object] = [
        V1(questions, links, delivery, parts.statistics, parts.module),
        V2(questions, links, delivery, parts.mirror, parts.statistics),
        V3(parts.statistics),
        Legacy(questions, links, delivery, parts.statistics),
        Releases(questions, links, parts.mirror, delivery),
        Pages(questions, links, parts.mirror, settings.branches_stable),
        Health(parts.catalogue, parts.draining),
        Notices(
            parts.catalogue,
            parts.store,
            parts.statistics.count,
            github_secret=settings.github_webhook_secret,
            jenkins_token=settings.notify_token,
        ),
    ]
    if settings.admin:
        made.append(
            Admin(
                parts.catalogue,
                parts.inspection,
                settings.admin_username,
                settings.admin_password,
            )
        )
    return made


def surface(settings: Settings, parts: Parts) -> IResource:
    """Make the root of the HTTP tree."""
    count = parts.statistics.count
    return Root(application(areas(settings, parts), count), count)
