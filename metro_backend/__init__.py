"""Update, mirror and statistics server of the Android app «Wi-Fi в метро»."""

__version__ = "0.1.0"
