"""What comes back over the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message

from twisted.web.http_headers import Headers


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer; the body as sent, without chunks but with its content coding."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    complete: bool = True
    """False if the phone itself hung up before the end."""

    def first(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        values = self.headers.getRawHeaders(name)
        return values[0] if values else None

    @property
    def mime(self) -> str:
        """The bare media type in lower case; empty if there is none."""
        return (self.first("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text: the charset that the answer names, else UTF-8; never fails."""
        parsed = Message()
        parsed["Content-Type"] = self.first("Content-Type") or ""
        charset = parsed.get_content_charset("utf-8")
        try:
            return self.body.decode(charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")
