"""Phones that look for updates: the branch they are on, what they remember, how they decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime

from tests.doubles.phones.downloads import Browser, Download
from tests.doubles.phones.exchange import Exchange
from tests.doubles.phones.failures import (
    DownloadBroken,
    PhoneCrashed,
    PhoneCutOff,
    PhoneHung,
    PhoneMoved,
)
from tests.doubles.phones.outcomes import (
    Decision,
    Failed,
    Fallback,
    Installed,
    MovedTo,
    NoUpdate,
    Offer,
    Outcome,
    Source,
    Update,
    update_in,
)
from tests.doubles.phones.phone import Phone
from tests.doubles.phones.transport import Reply

CACHE_TIME = 3600.0
"""Seconds for which an answer is used without asking again (v27 and later)."""


class Missing(Enum):
    """What the app does if its branch is not in the list but `master` is."""

    NOTHING = "v21-v45: a fixed list of branches; its owner gets nothing"
    MOVE = "v46-v70: rewrites its settings to master, for ever"
    OFFER = "v71 and later: offers master, unless the branch starts with an underscore"


@dataclass(frozen=True, kw_only=True)
class Cached:
    """An answer that the phone has kept."""

    text: str
    until: float
    """Seconds on the phone's clock; later it is still good enough for a fallback."""


class UpdatingPhone(Phone):
    """A phone that asks for its branch."""

    version_code: ClassVar[int]
    when_missing: ClassVar[Missing]
    dies_without_branch: ClassVar[bool] = False
    """Crashes if neither its branch nor `master` is in the list (contract §0, I3)."""

    def __init__(
        self,
        exchange: Exchange,
        clock: IReactorTime,
        *,
        base: str = "http://mosmetro.example",
        branch: str = "play",
        build: int = 0,
        version_code: int | None = None,
        ignored: int = 0,
    ) -> None:
        """Take the branch that is installed and set, and the build that is installed.

        `ignored` is the number that the owner chose not to be told of again.
        """
        super().__init__(exchange, clock, base=base)
        self.branch = branch
        self._installed = Installed(
            version_code=self.version_code if version_code is None else version_code,
            branch=branch,
            build=build,
        )
        self._ignored = ignored
        self._cached: Cached | None = None
        self._offered: Update | None = None

    async def check(self) -> Outcome:
        """Look for an update, as the app does at its start.

        Raises:
            PhoneCrashed: for an answer that kills the app.
            PhoneFailure: as `transport.send`.
        """
        outcome = await self._ask()
        self._offered = update_in(outcome)
        return outcome

    def assert_stays(self, branch: str) -> None:
        """Raise PhoneMoved if the phone left the branch, or was just offered to leave it."""
        name = type(self).__name__
        if self.branch != branch:
            raise PhoneMoved(f"{name} was moved from {branch} to {self.branch}")
        if self._offered is not None and self._offered.branch != branch:
            raise PhoneMoved(f"{name} on {branch} is offered {self._offered.branch}")

    def clear_data(self) -> None:
        """Do what helped against a bad answer that was kept (contract §6, #43)."""
        self._cached = None

    async def download(self, update: Update) -> Download:
        """Fetch the file as the owner does by a tap. Raises DownloadBroken, PageBroken."""
        if update.url is None:
            raise DownloadBroken("there is no link")
        return await Browser(self._exchange).open(update.url)

    async def _ask(self) -> Outcome:
        raise NotImplementedError

    def _parse(self, text: str) -> Mapping[str, Offer]:
        """Read an answer. Raises PhoneCrashed, and ValueError if it is no list at all."""
        raise NotImplementedError

    async def _get(self, path: str) -> Reply:
        for _ in range(self.transport.retries):
            try:
                return await self._send("GET", path)
            except (PhoneHung, PhoneCutOff):
                continue
        return await self._send("GET", path)

    def _fresh(self) -> Cached | None:
        if self._cached is not None and self._clock.seconds() < self._cached.until:
            return self._cached
        return None

    def _keep(self, text: str) -> Cached:
        self._cached = Cached(text=text, until=self._clock.seconds() + CACHE_TIME)
        return self._cached

    def _read(self, text: str, until: float | None = None) -> Decision | Failed:
        try:
            offers = self._parse(text)
        except ValueError as error:
            return Failed(reason=str(error), until=until)
        return self._decide(offers)

    def _fall_back(self) -> Outcome:
        if self._cached is None:
            return Fallback(source=Source.BUILT_IN, then=NoUpdate())
        decision = self._read(self._cached.text)
        if isinstance(decision, Failed):
            return decision
        return Fallback(source=Source.CACHE, then=decision)

    def _decide(self, offers: Mapping[str, Offer]) -> Decision:
        own = offers.get(self.branch)
        if own is not None:
            return self._installed.weigh(own, self._ignored)
        master = offers.get("master")
        if master is None:
            if self.dies_without_branch:
                raise PhoneCrashed("NullPointerException", f"no {self.branch} and no master")
            return NoUpdate()
        offer = self._installed.weigh(master, self._ignored)
        match self.when_missing:
            case Missing.MOVE:
                self.branch = "master"
                return MovedTo(branch="master", then=offer)
            case Missing.OFFER if not self.branch.startswith("_"):
                return offer
            case _:
                return NoUpdate()
