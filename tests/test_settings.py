"""Settings: where values come from, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.keys import KEYS
from metro_backend.settings import Settings, SettingsError, load

JENKINS = "https://jenkins.example"


def read(environ: dict[str, str] | None = None, **command_line: str) -> Settings:
    """Load with only these layers."""
    return load(command_line, environ or {}).settings


class LayersTests(SynchronousTestCase):
    """The command line wins over the environment, that over the file, that over the default."""

    def test_defaults(self) -> None:
        """Without any layer every key has its documented default."""
        settings = read()
        self.assertEqual(settings.listen, ("tcp:8000",))
        self.assertEqual(settings.state_dir, Path("var"))
        self.assertEqual(settings.branches_ttl, 21600)
        self.assertEqual(settings.mirror_quota, 2 * 2**30)
        self.assertIsNone(settings.statsd)
        self.assertFalse(settings.admin)

    def test_order(self) -> None:
        """Each layer is overridden by the one before it."""
        config = self.mktemp()
        Path(config).write_text('jenkins_url = "https://file.example"\nbranches_ttl = 60\n')
        environ = {"MOSMETRO_CONFIG": config}
        self.assertEqual(read(environ).jenkins_url, "https://file.example")
        self.assertEqual(read(environ).branches_ttl, 60)
        environ["MOSMETRO_JENKINS_URL"] = "https://environ.example"
        self.assertEqual(read(environ).jenkins_url, "https://environ.example")
        self.assertEqual(read(environ, jenkins_url=JENKINS).jenkins_url, JENKINS)

    def test_old_names(self) -> None:
        """The names of October 2017 work, and the newer name wins over them."""
        self.assertEqual(read({"CONFIG_STATSD": "old"}).statsd, ("old", 8125))
        both = {"CONFIG_STATSD": "old", "MOSMETRO_STATSD": "new:8126"}
        self.assertEqual(read(both).statsd, ("new", 8126))

    def test_state_directory_of_systemd(self) -> None:
        """The directory that systemd made is the default where there is one."""
        self.assertEqual(read({"STATE_DIRECTORY": "state"}).state_dir, Path("state"))

    def test_secret_from_file(self) -> None:
        """A secret may be in a file, whose last line end does not count."""
        secret = self.mktemp()
        Path(secret).write_text("s3cret\n")
        environ = {"MOSMETRO_ADMIN": "true", "MOSMETRO_ADMIN_PASSWORD_FILE": secret}
        self.assertEqual(read(environ).admin_password, "s3cret")

    def test_toml_types(self) -> None:
        """TOML's own true, numbers and lists are understood."""
        config = self.mktemp()
        Path(config).write_text('github_beta = true\nbranches_stable = ["play", "master"]\n')
        settings = load({}, {}, config).settings
        self.assertTrue(settings.github_beta)
        self.assertEqual(settings.branches_stable, ("play", "master"))


class RefusalTests(SynchronousTestCase):
    """A value that cannot be used ends the start with one line that names the key."""

    def refused(self, environ: dict[str, str]) -> str:
        """Return the message of the refusal."""
        message = str(self.assertRaises(SettingsError, load, {}, environ))
        self.assertNotIn("\n", message)
        return message

    def test_wrong_values(self) -> None:
        """The message names the variable."""
        for name, value in {
            "MOSMETRO_BRANCHES_TTL": "often",
            "MOSMETRO_MIRROR_QUOTA": "2 furlongs",
            "MOSMETRO_JENKINS_URL": "jenkins.example",
            "MOSMETRO_GITHUB_BETA": "perhaps",
            "MOSMETRO_JENKINS_PRIVATE_BRANCHES": "",
            "MOSMETRO_PUBLIC_URL": "https://x.example/a b",
            "MOSMETRO_MIRROR_HOSTS": "https://cdn.example/x",
            "MOSMETRO_STATSD": "host:port",
            "MOSMETRO_TRUSTED_PROXIES": "somewhere",
            "MOSMETRO_LISTEN": " ",
            "MOSMETRO_LOG": "xml",
            "MOSMETRO_SENDFILE": "yes",
            "MOSMETRO_GITHUB_USER": "a/b",
            "MOSMETRO_STATSD_PREFIX": "a:b",
        }.items():
            self.assertIn(name, self.refused({name: value}))

    def test_admin_without_password(self) -> None:
        """Admin routes without a password, or with the old default one, are refused."""
        self.refused({"MOSMETRO_ADMIN": "true"})
        self.refused({"MOSMETRO_ADMIN": "true", "MOSMETRO_ADMIN_PASSWORD": "admin"})

    def test_no_source(self) -> None:
        """A server without any source of branches is refused."""
        self.refused({"MOSMETRO_GITHUB_USER": "", "MOSMETRO_JENKINS_URL": ""})

    def test_secrets_are_not_shown(self) -> None:
        """A wrong secret is not repeated in the message, nor are credentials of Redis."""
        self.assertNotIn("hush", self.refused({"MOSMETRO_GITHUB_TOKEN": "hush\nhush"}))
        self.assertNotIn("hush", repr(read({"MOSMETRO_GITHUB_TOKEN": "hush"})))

    def test_missing_file(self) -> None:
        """A secret's file that cannot be read is named."""
        self.assertIn(
            "MOSMETRO_NOTIFY_TOKEN_FILE", self.refused({"MOSMETRO_NOTIFY_TOKEN_FILE": "/no"})
        )

    def test_broken_toml(self) -> None:
        """A file that is no TOML is named, and so is one that is not there."""
        config = self.mktemp()
        Path(config).write_text("listen = ")
        self.assertIn(config, self.refused({"MOSMETRO_CONFIG": config}))
        self.refused({"MOSMETRO_CONFIG": "/no/such/file"})

    @given(st.sampled_from(KEYS), st.text(max_size=40))
    @hypothesis_settings(deadline=None)
    def test_any_text(self, key: object, value: str) -> None:
        """Whatever text a key is given, it is taken or refused in one line."""
        try:
            load({}, {key.variable: value})  # type: ignore[attr-defined]
        except SettingsError as error:
            self.assertNotIn("\n", str(error))


class WarningTests(SynchronousTestCase):
    """What the operator may have meant otherwise is said."""

    def test_unknown_variable(self) -> None:
        """A misspelt variable is warned of, with the nearest name."""
        (warning,) = load({}, {"MOSMETRO_JENKIN_URL": JENKINS}).warnings
        self.assertIn("did you mean MOSMETRO_JENKINS_URL", warning)

    def test_retired_variable(self) -> None:
        """A variable of a feature that is gone is warned of."""
        (warning,) = load({}, {"MOSMETRO_SQL": "sqlite://"}).warnings
        self.assertIn("MOSMETRO_SQL", warning)

    def test_known_variables(self) -> None:
        """Known variables, and those of others, cause no warning."""
        self.assertEqual(load({}, {"MOSMETRO_DRAIN": "3", "PATH": "/bin"}).warnings, ())
