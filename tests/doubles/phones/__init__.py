"""Strict models of the apps that are installed, as clients of the server under test.

Each says what its era sends and how it reads the answer, by the contract alone, and
fails loudly (`failures`) where a real phone would crash, hang, be cut off or be moved.
"""

from __future__ import annotations

from tests.doubles.phones.branches_php import (
    V50,
    V52,
    V56,
    V63,
    V64,
    V68,
    V71,
    V72,
    V73,
    V76,
    V77,
    Master202107,
    Master202109,
)
from tests.doubles.phones.check_php import V4, V5, V11
from tests.doubles.phones.master_2022 import Master20221102, Master20221104, Master20221106
from tests.doubles.phones.phone import Phone
from tests.doubles.phones.update_php import V21, V26, V27, V29, V30, V40, V46
from tests.doubles.phones.updating import UpdatingPhone

UPDATE_PHP_PHONES: tuple[type[UpdatingPhone], ...] = (V21, V26, V27, V29, V30, V40, V46)

BRANCHES_PHP_PHONES: tuple[type[UpdatingPhone], ...] = (
    V50,
    V52,
    V56,
    V63,
    V64,
    V68,
    V71,
    V72,
    V73,
    V76,
    V77,
    Master202107,
    Master202109,
)

UPDATING_PHONES = UPDATE_PHP_PHONES + BRANCHES_PHP_PHONES
"""Every model that looks for updates on the server."""

PHONES: tuple[type[Phone], ...] = (
    V4,
    V5,
    V11,
    *UPDATING_PHONES,
    Master20221102,
    Master20221104,
    Master20221106,
)
"""Every model."""

__all__ = [
    "BRANCHES_PHP_PHONES",
    "PHONES",
    "UPDATE_PHP_PHONES",
    "UPDATING_PHONES",
    "V4",
    "V5",
    "V11",
    "V21",
    "V26",
    "V27",
    "V29",
    "V30",
    "V40",
    "V46",
    "V50",
    "V52",
    "V56",
    "V63",
    "V64",
    "V68",
    "V71",
    "V72",
    "V73",
    "V76",
    "V77",
    "Master202107",
    "Master202109",
    "Master20221102",
    "Master20221104",
    "Master20221106",
    "Phone",
    "UpdatingPhone",
]
