"""What the tests of the phones share: good answers to spoil, and a test case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.doubles.phones import UPDATE_PHP_PHONES, UpdatingPhone
from tests.doubles.phones.answers import Answer
from tests.doubles.phones.canned import Canned
from tests.doubles.phones.failures import PhoneCrashed
from tests.doubles.phones.outcomes import Outcome, update_in

HOST = "http://mosmetro.example"
Models = Sequence[type[UpdatingPhone]]


def entry(**changes: Any) -> dict[str, Any]:
    """Make a branch as contract §1.3.2 has it; None stays null, ... leaves a field out."""
    good = {
        "build": "0",
        "by_build": "0",
        "description": "Стабильная ветка",
        "message": "9.9-99:\n* …",
        "name": "play",
        "stable": True,
        "url": f"{HOST}/api/v1/download.php?branch=play",
        "version": "99",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


MASTER = entry(by_build="1", build="438", version="0", name="master")


def branches(play: object = None, **others: object) -> bytes:
    """Make a list of play and master; keywords add branches or, by None, remove master."""
    value = {"play": play or entry(), "master": MASTER, **others}
    return json.dumps({name: item for name, item in value.items() if item}).encode()


def branch_xml(name: str, version: str = "99", build: str = "0", message: str = "a<br />b") -> str:
    """Make one branch as contract §1.2 has it."""
    keys = {
        "version": version,
        "build": build,
        "by_build": "1" if build != "0" else "0",
        "url": f"{HOST}/update.php?download={name}",
        "message": message,
    }
    inside = "".join(f'<key id="{key}">{value}</key>' for key, value in keys.items())
    return f'<branch id="{name}">{inside}</branch>'


def listing(*parts: str) -> bytes:
    """Make update.php's answer; without parts a good one."""
    good = (branch_xml("play"), branch_xml("beta"), branch_xml("master", "0", "438"))
    return "".join(parts or good).encode()


def answer(body: bytes, status: int = 200, mime: str = "text/html; charset=utf-8") -> Answer:
    """Make an answer."""
    return Answer(status=status, headers=Headers({"Content-Type": [mime]}), body=body)


def good_for(model: type[UpdatingPhone]) -> Answer:
    """Make the good answer that the model asks for."""
    return answer(listing() if model in UPDATE_PHP_PHONES else branches())


class PhoneTestCase(SynchronousTestCase):
    """What the tests share."""

    def phone(self, model: type[UpdatingPhone], *answers: Answer, **more: Any) -> UpdatingPhone:
        """Switch a phone on whose server gives these answers."""
        self.clock = Clock()
        self.exchange = Canned(*answers)
        return model(self.exchange, self.clock, **more)

    def check(self, phone: UpdatingPhone) -> Outcome:
        """Let it look for an update."""
        return self.successResultOf(ensureDeferred(phone.check()))

    def once(self, model: type[UpdatingPhone], body: bytes, **more: Any) -> Outcome:
        """Let a new phone look once."""
        return self.check(self.phone(model, answer(body), **more))

    def crash(self, model: type[UpdatingPhone], body: bytes, **more: Any) -> str:
        """Expect a crash and return the name of the exception."""
        checking = ensureDeferred(self.phone(model, answer(body), **more).check())
        failure = self.failureResultOf(checking, PhoneCrashed)
        return str(failure.value.exception)

    def assert_safe(self, models: Models, body: bytes) -> None:
        """Expect an update on play, from each model."""
        for model in models:
            update = update_in(self.once(model, body))
            assert update is not None, model
            self.assertEqual((update.branch, update.number), ("play", 99), model)

    def assert_crash(self, models: Models, body: bytes, exception: str) -> None:
        """Expect the same crash of each model."""
        for model in models:
            self.assertEqual(self.crash(model, body), exception, model)
