"""How what a client knows is held against what it should know."""

from __future__ import annotations

import hashlib
import hmac


def equal(given: str, expected: str) -> bool:
    """Compare in a time that does not depend on where, or by how much, the two differ."""
    left, right = (hashlib.sha256(text.encode()).digest() for text in (given, expected))
    return hmac.compare_digest(left, right)
