"""Phones that go on asking while something is done to the servers."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from e2e.command import wait_for
from e2e.http_client import Door

LONGEST = 240.0
"""Seconds after which the phones stop by themselves."""

PAUSE = 0.01
"""Seconds that each phone waits between two requests."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_REPORT = urlencode({"success": "true", "provider": "MosMetroV2"}).encode()


class Load:
    """A bounded number of phones, from ``with`` to its end."""

    def __init__(self, door: Door, download: str = "", *, reports: bool = True) -> None:
        """Take where to ask.

        Args:
            download: path of a build that two phones get, slowly, again and again.
            reports: whether one phone sends reports.
        """
        self._door = door
        self._download = download
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._digest = hashlib.sha256(door.get(download).body).digest() if download else b""
        self.done: Counter[str] = Counter()
        """What went well, by kind."""
        self.failed: Counter[str] = Counter()
        """What did not, and why."""
        phones: list[Callable[[], None]] = [self._ask] * 3
        phones += [self._report] * reports
        phones += [self._get_build] * (2 if download else 0)
        self._threads = [threading.Thread(target=self._go_on, args=(each,)) for each in phones]

    def __enter__(self) -> Self:
        """Start."""
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, when every request under way has ended."""
        self._stop.set()
        for each in self._threads:
            each.join()

    @property
    def requests(self) -> int:
        """How many requests have ended, well or not."""
        with self._lock:
            return self.done.total() + self.failed.total()

    def wait_for_more(self, requests: int) -> None:
        """Wait until so many requests more have ended."""
        target = self.requests + requests
        wait_for("phones to be served", lambda: self.requests > target)

    def _go_on(self, phone: Callable[[], None]) -> None:
        end = time.monotonic() + LONGEST
        self._door.namespace.enter()
        while not self._stop.is_set() and time.monotonic() < end:
            try:
                phone()
            except Exception as error:
                with self._lock:
                    self.failed[f"{phone.__name__.strip('_')}: {error!r}"] += 1
            self._stop.wait(PAUSE)

    def _ask(self) -> None:
        answer = self._door.get("/api/v1/branches.php")
        self._note("questions", answer.status, b"master" in answer.body)

    def _report(self) -> None:
        answer = self._door.post("/api/v2/stats", _REPORT, headers=_FORM)
        self._note("reports", answer.status, True)

    def _get_build(self) -> None:
        digest = hashlib.sha256()
        with self._door.open(self._download, buffer=65_536) as response:
            while piece := response.read(65_536):
                digest.update(piece)
                time.sleep(0.05)
        self._note("downloads", response.status, digest.digest() == self._digest)

    def _note(self, kind: str, status: int, whole: bool) -> None:
        with self._lock:
            if status == 200 and whole:
                self.done[kind] += 1
            else:
                self.failed[f"{kind}: {status}{'' if whole else ', not whole'}"] += 1
