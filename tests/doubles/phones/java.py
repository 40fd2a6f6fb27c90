"""What Java does with a value that is not what the programmer thought."""

from __future__ import annotations

import unicodedata

from tests.doubles.phones.failures import PhoneCrashed

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


class NumberFormatException(ValueError):
    """What Integer.parseInt throws."""


def parse_int(text: str | None) -> int:
    """Read a number as Integer.parseInt does: any Unicode digits, one sign, 32 bits, no spaces.

    Raises NumberFormatException.
    """
    digits = text or ""
    negative = digits.startswith("-")
    if digits[:1] in ("-", "+"):
        digits = digits[1:]
    number = 0
    for character in digits:
        # Java walks over UTF-16 units: a digit beyond the first plane is none.
        digit = unicodedata.decimal(character, None) if character <= "\uffff" else None
        if digit is None:
            raise NumberFormatException(f'For input string: "{text}"')
        number = number * 10 + digit
    number = -number if negative else number
    if not digits or not INT_MIN <= number <= INT_MAX:
        raise NumberFormatException(f'For input string: "{text}"')
    return number


def to_string(value: object, what: str) -> str | None:
    """Cast to String. Raises PhoneCrashed for what is neither text nor null."""
    if value is not None and not isinstance(value, str):
        raise PhoneCrashed(
            "ClassCastException", f"{what} is {type(value).__name__}, not String: {value!r}"
        )
    return value


def not_null(value: str | None, what: str) -> str:
    """Call a method of a String. Raises PhoneCrashed for null."""
    if value is None:
        raise PhoneCrashed("NullPointerException", f"{what} is null")
    return value
