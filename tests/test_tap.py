"""Options: what twistd hands over becomes settings, or one line of refusal."""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.keys import KEYS
from metro_backend.tap import Options


class OptionsTests(SynchronousTestCase):
    """``twistd metro-backend [options]``."""

    def parsed(self, *arguments: str, **environ: str) -> Options:
        """Parse a command line."""
        options = Options({f"MOSMETRO_{name.upper()}": value for name, value in environ.items()})
        options.parseOptions(list(arguments))
        return options

    def test_option_wins(self) -> None:
        """An option wins over the environment."""
        options = self.parsed("--jenkins-url", "http://a.example", jenkins_url="http://b.example")
        self.assertEqual(options.loaded.settings.jenkins_url, "http://a.example")

    def test_no_secret_is_an_option(self) -> None:
        """Every key but the secret ones is an option."""
        text = str(Options({}))
        for key in KEYS:
            self.assertEqual(f"--{key.option}=" in text, not key.secret, key.name)

    def test_refusals(self) -> None:
        """What cannot be used is refused before anything is started."""
        for environ in ({"redis": "redis://"}, {"drain": "x"}, {"log": "x"}):
            self.assertRaises(UsageError, self.parsed, **environ)
        for listen in ("tcp", "tcp:99999", "systemd:domain=INET:index=0", "ssl:1:privateKey=/no"):
            self.assertRaises(UsageError, self.parsed, listen=listen)
        self.assertRaises(UsageError, self.parsed, "--no-such-option")
