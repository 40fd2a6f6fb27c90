"""Response header fields of a file: Content-Disposition and Repr-Digest."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


def attachment(filename: str) -> bytes:
    """Write Content-Disposition for a download under this name (RFC 6266).

    The name is always quoted: old stock browsers ignore one that is not (contract
    §1.3.3). What ASCII cannot say is said by ``filename*`` (RFC 8187).
    """
    name = _UNSAFE.sub("_", filename) or "_"
    plain = "".join(c if " " <= c <= "~" and c not in '"%' else "_" for c in name)
    field = f'attachment; filename="{plain}"'
    if plain != name:
        field += f"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return field.encode("ascii")


def repr_digest(sha256: str) -> bytes:
    """Write Repr-Digest for a file's hex digest (RFC 9530)."""
    return b"sha-256=:" + base64.b64encode(bytes.fromhex(sha256)) + b":"
