"""Makes ``twistd metro-backend`` known.

Must not import klein or txredisapi, which install a reactor.
"""

from twisted.application.service import ServiceMaker

metroBackend = ServiceMaker(
    "metro_backend",
    "metro_backend.tap",
    "Update, mirror and statistics server of a mobile app.",
    "metro-backend",
)
