"""v21-v49: update.php, pseudo-XML read by Jsoup (contract §1.2). The status is never looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from tests.doubles.phones import jsoup, transport
from tests.doubles.phones.failures import PhoneCrashed
from tests.doubles.phones.java import NumberFormatException, parse_int
from tests.doubles.phones.outcomes import Offer, Outcome
from tests.doubles.phones.updating import Missing, UpdatingPhone


class UpdatePhpPhone(UpdatingPhone):
    """What v21-v49 share, as v30-v45 do it."""

    when_missing = Missing.NOTHING
    bad_number_kills: ClassVar[bool] = False
    """v21-v28 crash on a version or build that is no number; later it counts as 0."""
    caches: ClassVar[bool] = True
    """v27 and later keep any answer, good or bad, for an hour."""
    empty_falls_back: ClassVar[bool] = True
    """v30 and later throw on an empty answer and use the one they kept."""
    opens_key_url: ClassVar[bool] = False
    """v21-v25 open the link in the answer, later ones make it themselves."""

    async def _ask(self) -> Outcome:
        kept = self._fresh()
        if kept is not None:
            return self._read(kept.text, kept.until)
        reply = await self._get(f"{self.prefix}/update.php")
        text = reply.answer.text
        if self.empty_falls_back and not text:
            return self._fall_back()
        return self._read(text, self._keep(text).until if self.caches else None)

    def _parse(self, text: str) -> Mapping[str, Offer]:
        offers: dict[str, Offer] = {}
        for branch in jsoup.parse(text).elements("branch"):
            offer = self._parse_branch(branch)
            offers[offer.name] = offer
            if self.bad_number_kills and offer.name == self.branch:
                # v21-v28 look no further than their own branch.
                break
        if not offers:
            raise ValueError("there is no branch in the answer")
        return offers

    def _parse_branch(self, branch: jsoup.Element) -> Offer:
        name = branch.attr("id")
        numbers = {"version": 0, "build": 0}
        by_build, url, message = False, None, ""
        for key in branch.elements("key"):
            value = key.html()
            match key.attr("id"):
                case "version" | "build" as which:
                    numbers[which] = self._number(value, f"{which} of {name}")
                case "by_build":
                    by_build = value == "1"
                case "url":
                    url = value
                case "message":
                    message = value.replace("<br>", "")
        if not self.opens_key_url:
            url = f"{self._base}{self.prefix}/update.php?download={quote(name, safe='%')}"
        return Offer(
            name=name,
            number=numbers["build" if by_build else "version"],
            by_build=by_build,
            url=url,
            message=message,
        )

    def _number(self, value: str, what: str) -> int:
        try:
            return parse_int(value)
        except NumberFormatException as error:
            if self.bad_number_kills:
                raise PhoneCrashed("NumberFormatException", f"{what}: {error}") from None
            return 0


class V21(UpdatePhpPhone):
    """v21-v23, 2016-02: nothing is kept, nothing is forgiven."""

    era = "v21"
    version_code = 21
    transport = transport.V4
    prefix = "/mosmetro"
    bad_number_kills = True
    caches = False
    empty_falls_back = False
    opens_key_url = True


class V26(UpdatePhpPhone):
    """v26: OkHttp, base-url, and links of its own."""

    era = "v26"
    version_code = 26
    transport = transport.V24
    bad_number_kills = True
    caches = False
    empty_falls_back = False


class V27(V26):
    """v27-v28: keeps any answer for an hour, even an empty one."""

    version_code = 27
    caches = True


class V29(UpdatePhpPhone):
    """v29: reports the network's name; forgives numbers."""

    era = "v29"
    version_code = 29
    transport = transport.V24
    empty_falls_back = False


class V30(UpdatePhpPhone):
    """v30-v39: an empty answer is thrown away."""

    era = "v29"
    version_code = 30
    transport = transport.V24


class V40(UpdatePhpPhone):
    """v40-v45, 2016-10."""

    era = "v40"
    version_code = 40
    transport = transport.V40


class V46(V40):
    """v46-v49: any branch can be chosen; one that is gone means master.

    v48 and v49 claim to be a Chrome.
    """

    version_code = 46
    transport = transport.V48
    when_missing = Missing.MOVE
