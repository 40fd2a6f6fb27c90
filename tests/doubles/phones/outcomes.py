"""What an update check comes to, and the rule by which a phone decides (contract §2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One branch as a phone has read it."""

    name: str
    number: int
    """The build if `by_build`, else the version."""
    by_build: bool
    url: str | None
    """What the phone would open for the file."""
    message: str


@dataclass(frozen=True, kw_only=True)
class NoUpdate:
    """Nothing newer."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """The phone shows a notification with this build."""

    branch: str
    number: int
    url: str | None
    message: str


@dataclass(frozen=True, kw_only=True)
class MovedTo:
    """The phone has rewritten its settings to another branch, for ever."""

    branch: str
    then: NoUpdate | Update


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The check came to nothing because of what the server said."""

    reason: str
    until: float | None
    """Seconds on the phone's clock until which it keeps this answer; None if it does not."""


Decision = NoUpdate | Update | MovedTo


class Source(Enum):
    """Where a phone looks when the server's answer is of no use."""

    CACHE = "an earlier answer, however old"
    BUILT_IN = "the built-in answer, which means no update"


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """The server's answer was of no use, harmlessly."""

    source: Source
    then: Decision


Outcome = Decision | Fallback | Failed


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What is on the phone."""

    version_code: int
    branch: str
    build: int

    def weigh(self, offer: Offer, ignored: int) -> NoUpdate | Update:
        """Decide on an offer: ``stored_ignore < version && installed < version``."""
        if not offer.by_build:
            number = self.version_code
        else:
            number = self.build if offer.name == self.branch else 0
        if ignored < offer.number and number < offer.number:
            return Update(
                branch=offer.name, number=offer.number, url=offer.url, message=offer.message
            )
        return NoUpdate()


def update_in(outcome: Outcome) -> Update | None:
    """Return the update that the phone would show, whichever way it came by it."""
    if isinstance(outcome, Fallback):
        outcome = outcome.then
    if isinstance(outcome, MovedTo):
        outcome = outcome.then
    return outcome if isinstance(outcome, Update) else None
