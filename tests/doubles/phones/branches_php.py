"""v50-v77 and the master of 2021: branches.php, read by json-simple (contract §2.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from tests.doubles.phones import transport
from tests.doubles.phones.downloads import Browser, Download, DownloadManager
from tests.doubles.phones.failures import DownloadBroken, PhoneCrashed
from tests.doubles.phones.java import NumberFormatException, not_null, parse_int, to_string
from tests.doubles.phones.markers import MARKERS
from tests.doubles.phones.outcomes import Offer, Outcome, Update
from tests.doubles.phones.updating import Missing, UpdatingPhone

MODULE = "/api/v1/download.php?module=captcha_recognition"


class BranchesPhpPhone(UpdatingPhone):
    """What v50 and later share, as v50-v62 do it."""

    when_missing = Missing.MOVE
    rejects_non_json: ClassVar[bool] = False
    """v63 and later keep only JSON."""
    skips_bad_numbers: ClassVar[bool] = False
    """v66 and later leave out a branch whose number is none; earlier it kills the app."""
    reads_description: ClassVar[bool] = False
    """v71 and later read `description` and `stable`."""
    list_path: ClassVar[str] = "/api/v1/branches.php"

    async def _ask(self) -> Outcome:
        kept = self._fresh()
        if kept is not None:
            return self._read(kept.text, kept.until)
        answer = (await self._get(self.list_path)).answer
        text = answer.text
        if answer.status != 200 or (self.rejects_non_json and not _is_json(text)):
            return self._fall_back()
        return self._read(text, self._keep(text).until)

    def _parse(self, text: str) -> Mapping[str, Offer]:
        root = _object(_json(text), "the answer")
        offers: dict[str, Offer] = {}
        for name, value in root.items():
            try:
                offers[name] = self._parse_branch(name, _object(value, name))
            except NumberFormatException as error:
                if not self.skips_bad_numbers:
                    raise PhoneCrashed("NumberFormatException", f"{name}: {error}") from None
        return offers

    def _parse_branch(self, name: str, value: dict[str, Any]) -> Offer:
        # Anything but the text "1", true and 1 included, means "by version".
        by_build = value.get("by_build") == "1"
        version = to_string(value.get("version"), f"version of {name}")
        number = parse_int(version)
        if by_build:
            number = parse_int(to_string(value.get("build"), f"build of {name}"))
        message = not_null(
            to_string(value.get("message"), f"message of {name}"), f"message of {name}"
        )
        if self.reads_description:
            to_string(value.get("description"), f"description of {name}")
            _stable(value, name)
        return Offer(
            name=name,
            number=number,
            by_build=by_build,
            url=to_string(value.get("url"), f"url of {name}"),
            message=message,
        )


def _stable(value: dict[str, Any], name: str) -> None:
    if "stable" not in value or isinstance(value["stable"], bool):
        return
    if value["stable"] is None:
        raise PhoneCrashed("NullPointerException", f"stable of {name} is null")
    raise PhoneCrashed("ClassCastException", f"stable of {name}: {value['stable']!r}")


def _object(value: object, what: str) -> dict[str, Any]:
    if value is None:
        raise PhoneCrashed("NullPointerException", f"{what} is null")
    if not isinstance(value, dict):
        raise PhoneCrashed("ClassCastException", f"{what} is {type(value).__name__}, no object")
    return value


def _json(text: str) -> object:
    def constant(name: str) -> object:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=constant)


def _is_json(text: str) -> bool:
    try:
        _json(text)
    except ValueError:
        return False
    return True


class V50(BranchesPhpPhone):
    """v50-v51, 2016-12."""

    era = "v50"
    version_code = 50
    transport = transport.V48


class V52(V50):
    """v52-v55: no more than 5 s of patience."""

    era = "v52"
    version_code = 52
    transport = transport.V52


class V56(V52):
    """v56-v58: `p` for `provider`."""

    era = "v56"
    version_code = 56


class V63(BranchesPhpPhone):
    """2017-09: hands every file to DownloadManager; the module as well."""

    era = "v63"
    version_code = 63
    transport = transport.V52
    rejects_non_json = True

    android: int = 21
    """API level; below 21 (Android 5) it opens a browser."""

    async def download(self, update: Update) -> Download:
        """Fetch the file. Raises DownloadBroken, PageBroken."""
        if update.url is None:
            raise DownloadBroken("there is no link")
        return await self._fetch(update.url)

    async def download_module(self) -> Download:
        """Fetch the captcha module. Raises DownloadBroken, PageBroken."""
        return await self._fetch(self._base + MODULE)

    async def _fetch(self, url: str) -> Download:
        if self.android < 21:
            return await Browser(self._exchange).open(url)
        return await DownloadManager(self._exchange, android=self.android).fetch(url)


class V64(BranchesPhpPhone):
    """2017-09: a browser again; dies if it finds neither its branch nor master."""

    era = "v64"
    version_code = 64
    transport = transport.V64
    rejects_non_json = True
    dies_without_branch = True

    async def download_module(self) -> Download:
        """Fetch the captcha module by a browser (v62-v70). Raises DownloadBroken, PageBroken."""
        return await Browser(self._exchange).open(self._base + MODULE)


class V68(V64):
    """v66-v70, 2017-11: forgives numbers; reports to v2."""

    era = "v68"
    version_code = 68
    transport = transport.V66
    skips_bad_numbers = True
    dies_without_branch = False


class V71(BranchesPhpPhone):
    """v71-v75, 2018-09: reads descriptions; offers master instead of moving to it."""

    era = "v71"
    version_code = 71
    transport = transport.V71
    rejects_non_json = True
    skips_bad_numbers = True
    reads_description = True
    when_missing = Missing.OFFER


class V72(V71):
    """2020-11: fewer fields."""

    era = "v72"
    version_code = 72


class V73(V71):
    """v73-v75: reports the middle of a session too."""

    era = "v73"
    version_code = 73


class V76(V71):
    """2021-06-01: a question mark before each report; follows any Location; reads only text."""

    era = "v76"
    version_code = 76
    transport = transport.V76


class V77(V76):
    """2021-06-06, the last release."""

    era = "v77"
    version_code = 77


class Master202107(V77):
    """Master from 2021-07-05 on: names itself, and downloads over `/api/v2/download/`."""

    era = "2021-07-05"
    list_path = f"/api/v1/branches.php?uuid={MARKERS['uuid']}"

    android: int = 30
    """API level."""

    async def download(self, update: Update) -> Download:
        """Fetch the file by DownloadManager. Raises DownloadBroken."""
        name = quote(update.branch, safe="%")
        url = f"{self._base}/api/v2/download/{name}?uuid={MARKERS['uuid']}"
        return await DownloadManager(self._exchange, android=self.android).fetch(url)

    async def download_by_browser(self, update: Update) -> Download:
        """Fetch the file as the owner may choose to. Raises DownloadBroken, PageBroken."""
        return await super().download(update)


class Master202109(Master202107):
    """Master from 2021-09-13 on: no question mark any more."""

    era = "2021-09-13"
