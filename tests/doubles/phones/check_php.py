"""v4-v20: check.php is the test for internet access (contract §0, I4)."""

from __future__ import annotations

from tests.doubles.phones import transport
from tests.doubles.phones.phone import Phone


class V4(Phone):
    """2015-12-23: GET, before connecting and after it."""

    era = "v4"
    transport = transport.V4

    async def report(self) -> None:
        """Ask twice. Raises as `Phone.report`."""
        await super().report()
        await super().report()


class V5(Phone):
    """v5-v6: POST with a flag that has no name."""

    era = "v5"
    transport = transport.V4


class V11(Phone):
    """v11-v16, 2016-01: POST with connected=0, then 1; report.php when the user complains."""

    era = "v11"
    transport = transport.V4
