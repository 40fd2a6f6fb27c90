"""Where Redis is."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metro_backend.store.location import RedisLocation


class RedisLocationTests(SynchronousTestCase):
    """`RedisLocation.parse` reads what the documentation promises, and nothing else."""

    def test_forms(self) -> None:
        """Each form means what it says."""
        for text, expected in {
            "redis": RedisLocation(host="redis"),
            " redis-1.example ": RedisLocation(host="redis-1.example"),
            "my_redis:7000": RedisLocation(host="my_redis", port=7000),
            "127.0.0.1:1": RedisLocation(host="127.0.0.1", port=1),
            "[::1]": RedisLocation(host="::1"),
            "[2001:DB8::1]:65535": RedisLocation(host="2001:db8::1", port=65535),
            "redis://a.example": RedisLocation(host="a.example"),
            "REDIS://a.example:7000/": RedisLocation(host="a.example", port=7000),
            "redis://a.example/0": RedisLocation(host="a.example"),
            "redis://:secret@a.example": RedisLocation(host="a.example", password="secret"),
            "redis://:p%40s/s@w#rd?@[::1]:7000/0": RedisLocation(
                host="::1", port=7000, password="p@s/s@w#rd?"
            ),
            "redis://user:secret@a.example": RedisLocation(
                host="a.example", username="user", password="secret"
            ),
            "redis://:@a.example": RedisLocation(host="a.example"),
            "unix:///run/redis.sock": RedisLocation(path="/run/redis.sock"),
            "unix:///run/a@b%20c": RedisLocation(path="/run/a@b%20c"),
            "unix://:secret@/run/redis.sock": RedisLocation(
                path="/run/redis.sock", password="secret"
            ),
        }.items():
            self.assertEqual(RedisLocation.parse(text), expected, text)

    def test_refused(self) -> None:
        """Everything else is refused with one line that quotes no password."""
        for text in (
            "",
            "::1",
            "a b",
            "-a",
            "a:",
            "a:0",
            "a:65536",
            "a:٣",
            "a:+1",
            "a:1:2",
            "[::1",
            "[a]",
            "[::1]a",
            "a.example/0",
            "a@b",
            "a" * 255,
            "redis://",
            "redis://:secret@",
            "redis://:secret@:6379",
            "redis://user@a.example",
            "redis://:secret@a.example/1",
            "redis://:secret@a.example?db=0",
            "redis://:secret%ff@a.example",
            "redis://:secret\udcff@a.example",
            "rediss://:secret@a.example",
            "http://:secret@a.example",
            "unix://",
            "unix:///",
            "unix://secret/run",
            "unix:///run\x01x",
            "unix:///run?db=1",
        ):
            error = self.assertRaises(ValueError, RedisLocation.parse, text)
            self.assertNotIn("secret", str(error))
            self.assertNotIn("\n", str(error))
            self.assertTrue(str(error))

    def test_password_is_not_shown(self) -> None:
        """Neither the repr nor the address holds the password."""
        for text in ("redis://user:hunter2@a.example", "unix://:hunter2@/run/redis.sock"):
            location = RedisLocation.parse(text)
            self.assertNotIn("hunter2", repr(location) + str(location) + location.address)

    def test_address(self) -> None:
        """The address is the place as one would write it."""
        for text in ("a.example:7000", "[::1]:6379", "unix:///run/redis.sock"):
            self.assertEqual(RedisLocation.parse(text).address, text)

    @settings(deadline=None)
    @given(st.text() | st.from_regex(r"(redis://|unix://)?.*@?\[?.*\]?:?.*", fullmatch=True))
    @example("redis://%:%@a")
    def test_any_text(self, text: str) -> None:
        """Any text is read or refused; what was read is complete."""
        try:
            location = RedisLocation.parse(text)
        except ValueError:
            return
        self.assertTrue(bool(location.host) != bool(location.path))
        self.assertTrue(0 < location.port < 65536)
        self.assertEqual(
            RedisLocation.parse(location.address),
            RedisLocation(host=location.host, port=location.port, path=location.path),
        )

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 65535))
    def test_any_password(self, password: str, port: int) -> None:
        """Any password arrives if it is percent-encoded."""
        location = RedisLocation.parse(f"redis://:{quote(password, safe='')}@a.example:{port}")
        self.assertEqual(location.password, password)
        self.assertEqual((location.host, location.port), ("a.example", port))
