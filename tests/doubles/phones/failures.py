"""How a phone's day can be spoiled. All are AssertionErrors: a test that meets one has failed."""

from __future__ import annotations


class PhoneFailure(AssertionError):
    """Something that the owner of a phone would notice."""


class PhoneCrashed(PhoneFailure):
    """The app died of an uncaught exception."""

    def __init__(self, exception: str, detail: str) -> None:
        """Take the simple name of Java's exception class, and what caused it."""
        super().__init__(f"{exception}: {detail}")
        self.exception = exception


class PhoneHung(PhoneFailure):
    """No whole answer came within the app's time-out."""


class PhoneCutOff(PhoneFailure):
    """The answer, or what it led to, never came whole: refused, cut short, led astray."""


class MalformedAnswer(PhoneCutOff):
    """The answer is not HTTP/1.x as RFC 9112 has it, or not in a coding that was asked for."""


class PhoneOffline(PhoneFailure):
    """v4-v20 miss the key: the app believes that it is offline and reconnects for ever."""


class PhoneMoved(PhoneFailure):
    """The app left its branch, or offers its owner to leave it."""


class ReportStuck(PhoneFailure):
    """The app keeps a report and will send it again, for ever."""


class DownloadBroken(PhoneFailure):
    """What was downloaded cannot be installed, or cannot be resumed."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        """Take what went wrong, and the status if that is what went wrong."""
        super().__init__(detail)
        self.status = status


class PageBroken(PhoneFailure):
    """A web page shows nothing, or leads nowhere."""
