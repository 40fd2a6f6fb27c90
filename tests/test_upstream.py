"""The door to other servers: no answer is waited for, read or followed without a limit."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.client import readBody

from metro_backend.demo.faults import Cut, Fault, Hang, Html, Redirect, Refuse, Slow, Status
from metro_backend.hosts import AllowedHosts
from metro_backend.upstream import JSON_LIMIT, REDIRECTS, UpstreamError
from tests.doubles.world import BASE, PROJECT, RELEASES, WorldTestCase

URL = f"{BASE}{RELEASES}"


def anything(value: Any) -> Any:
    """Take any JSON."""
    return value


class JSONTests(WorldTestCase):
    """Asking for JSON."""

    def fails(self, fault: Fault, passing: float = 0.0) -> UpstreamError:
        """Return the error that a fault causes."""
        self.world.stand_in.faults.set(RELEASES, fault)
        error = self.failure_of(self.world.upstream().json(URL, anything), UpstreamError, passing)
        assert isinstance(error, UpstreamError)
        self.assertEqual(self.world.counts["server.upstream." + error.kind], 1)
        self.world.counts.clear()
        return error

    def test_kinds(self) -> None:
        """Each fault has its own name."""
        self.assertEqual(self.fails(Refuse()).kind, "refused")
        self.assertEqual(self.fails(Cut(10)).kind, "cut")
        self.assertEqual(self.fails(Hang(), 10.5).kind, "timeout")
        self.assertEqual(self.fails(Hang(after_bytes=10), 10.5).kind, "timeout")
        self.assertEqual(self.fails(Slow(1.0), 10.5).kind, "timeout")
        error = self.fails(Status(404))
        self.assertEqual((error.kind, error.status), ("status", 404))

    def test_shape(self) -> None:
        """HTML in place of JSON, and JSON of another shape, are errors that name the page."""
        self.world.stand_in.faults.set(RELEASES, Html())
        error = self.failure_of(self.world.upstream().json(URL, anything), UpstreamError)
        self.assertEqual(error.kind, "shape")
        self.assertIn(RELEASES, str(error))

        def read(value: object) -> object:
            raise ValueError("no cake in it")

        self.world.stand_in.faults.clear()
        error = self.failure_of(self.world.upstream().json(URL, read), UpstreamError)
        self.assertIn("no cake", str(error))

    def test_size(self) -> None:
        """An answer above the limit is cut off."""
        self.assertEqual(self.fails(Status(200, body=b" " * (JSON_LIMIT + 1))).kind, "size")

    def test_nested_too_deeply(self) -> None:
        """JSON that is too deep for the parser is an error like any other."""
        self.world.stand_in.faults.set(RELEASES, Status(200, body=b"[" * 100_000))
        error = self.failure_of(self.world.upstream().json(URL, anything), UpstreamError)
        self.assertEqual(error.kind, "shape")

    def test_user_agent(self) -> None:
        """Every request says who asks."""
        self.world.result_of(self, self.world.upstream().json(URL, anything))
        agent = self.world.stand_in.queries[-1].headers["user-agent"]
        self.assertTrue(agent.startswith("metro-backend/"))

    def test_cancelled(self) -> None:
        """Giving up ends the request at the other side too."""
        self.world.stand_in.faults.set(RELEASES, Hang())
        asking = Deferred.fromCoroutine(self.world.upstream().json(URL, anything))
        self.world.agent.flush()
        self.assertEqual(self.world.stand_in.in_flight, 1)
        asking.cancel()
        self.failureResultOf(asking)
        for _ in range(3):
            self.world.agent.flush()
        self.assertEqual(self.world.stand_in.in_flight, 0)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_no_credentials_in_errors(self) -> None:
        """An error shows neither credentials nor the query."""
        url = f"http://user:hush@127.0.0.1:8001{RELEASES}?token=hush"
        self.world.stand_in.faults.set(RELEASES, Status(500))
        error = self.failure_of(self.world.upstream().json(url, anything), UpstreamError)
        self.assertNotIn("hush", str(error))


class KeptTests(WorldTestCase):
    """Answers that are kept."""

    build = f"{PROJECT}/job/master/438/api/json"

    def ask(self, **options: Any) -> Any:
        """Ask for a build's page."""
        upstream = self.world.upstream()
        return self.world.result_of(self, upstream.json(BASE + self.build, anything, **options))

    def test_kept(self) -> None:
        """A kept answer is replayed without a call, until its time is over."""
        first = self.ask(keep=100.0)
        self.assertEqual(self.ask(keep=100.0), first)
        self.assertEqual(self.world.stand_in.count(), 1)
        self.world.clock.advance(101)
        self.ask(keep=100.0)
        self.assertEqual(self.world.stand_in.count(), 2)

    def test_another_life(self) -> None:
        """Another version of the same address is asked for anew."""
        self.ask(keep=100.0, version="1")
        self.ask(keep=100.0, version="2")
        self.assertEqual(self.world.stand_in.count(), 2)

    def test_never_from_another_space(self) -> None:
        """What is kept for one use is never the answer to a request that did not ask for that."""
        self.ask(keep=100.0)
        self.ask(revalidate=True)
        self.ask()
        self.assertEqual(self.world.stand_in.count(), 3)

    def test_bad_answers_are_not_kept(self) -> None:
        """An answer of the wrong shape, or an error, is not kept."""
        for fault in (Html(), Status(500)):
            self.world.stand_in.faults.set(self.build, fault, times=1)
            upstream = self.world.upstream()
            self.failure_of(upstream.json(BASE + self.build, anything, keep=100.0), UpstreamError)
        self.assertEqual(self.ask(keep=100.0)["number"], 438)

    def test_damaged(self) -> None:
        """What was kept and cannot be read any more is asked for again."""
        first = self.ask(keep=100.0)
        self.ask(revalidate=True)
        store: Any = self.world.store
        for key in list(store._entries):
            self.successResultOf(Deferred.fromCoroutine(store.set(key, b'"x"\n{')))
        self.assertEqual(self.ask(keep=100.0), first)
        self.assertEqual(self.ask(revalidate=True), first)
        self.assertEqual(self.world.stand_in.count(), 4)


class RedirectTests(WorldTestCase):
    """Following redirects."""

    def opened(self, url: str) -> bytes:
        """Read a file through the door."""

        async def read() -> bytes:
            response = await self.world.upstream().open(url, {"Authorization": "Basic hush"})
            body: bytes = await readBody(response)
            return body

        body: bytes = self.world.result_of(self, read())
        return body

    def refused(self, target: str, url: str = URL) -> UpstreamError:
        """Return the error of a redirect to this target."""
        self.world.stand_in.faults.set(RELEASES, Redirect(target))
        error = self.failure_of(self.world.upstream().open(url), UpstreamError)
        assert isinstance(error, UpstreamError)
        return error

    def test_to_the_asset_host(self) -> None:
        """An asset is fetched from where GitHub sends us, without our credentials."""
        path = "/mosmetro-android/mosmetro-android/releases/download/77/MosMetro-play-v77.apk"
        self.assertEqual(self.opened(BASE + path)[:4], b"PK\x03\x04")
        self.assertNotIn("authorization", self.world.stand_in.queries[-1].headers)

    def test_forbidden(self) -> None:
        """A redirect to a host that is not configured, or away from http, is not followed."""
        for target in (
            "http://evil.example/x",
            "http://10.0.0.1/x",
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00::1]/",
            "file:///etc/passwd",
            "//evil.example",
            "http://127.0.0.1.evil.example/",
            "http://user@evil.example/",
        ):
            self.assertEqual(self.refused(target).kind, "forbidden", target)
        self.assertEqual(self.world.stand_in.count(), self.world.stand_in.count(RELEASES))

    def test_loop(self) -> None:
        """A redirect that leads back ends after some hops."""
        self.assertEqual(self.refused(URL).kind, "shape")
        self.assertEqual(self.world.stand_in.count(), REDIRECTS + 1)

    def test_downgrade(self) -> None:
        """A redirect from https to http is not followed."""
        url = URL.replace("http:", "https:")
        self.assertEqual(self.refused(URL, url).kind, "forbidden")

    def test_statuses(self) -> None:
        """A file that is not there is an error."""
        self.world.stand_in.faults.set(RELEASES, Status(503, {"Retry-After": "9"}))
        error = self.failure_of(self.world.upstream().open(URL), UpstreamError)
        self.assertEqual((error.status, error.retry_after), (503, 9.0))


class AllowedHostsTests(WorldTestCase):
    """Which hosts may be talked to."""

    def test_github(self) -> None:
        """With GitHub's API its asset hosts are allowed, and nothing that looks like them."""
        allowed = AllowedHosts.of("https://api.github.com", "", extra=("cdn.example",))
        for host in (
            "api.github.com",
            "github.com",
            "objects.githubusercontent.com",
            "cdn.example",
        ):
            self.assertTrue(allowed.allow(f"https://{host}/x"), host)
        for host in (
            "github.com:6379",
            "githubusercontent.com.evil.example",
            "evilgithub.com",
            "127.0.0.1",
            "localhost",
            "",
        ):
            self.assertFalse(allowed.allow(f"https://{host}/x"), host)

    def test_asset_hosts_by_https_only(self) -> None:
        """A poisoned name would have to show a certificate."""
        allowed = AllowedHosts.of("https://api.github.com")
        self.assertFalse(allowed.allow("http://objects.githubusercontent.com/x"))

    def test_loopback(self) -> None:
        """Loopback is allowed by all its names where a source is configured there, else by none."""
        allowed = AllowedHosts.of("http://localhost:1", "http://jenkins.example")
        for host in ("localhost", "127.0.0.1:5", "[::1]:7", "JENKINS.example"):
            self.assertTrue(allowed.allow(f"http://{host}/"), host)
        self.assertFalse(AllowedHosts.of("http://jenkins.example").allow("http://127.0.0.1/"))

    def test_odd_addresses(self) -> None:
        """Addresses that cannot be parsed are not allowed."""
        allowed = AllowedHosts.of("http://jenkins.example")
        for url in (
            "http://[::1",
            "http://jenkins.example:x/",
            "jenkins.example",
            "ftp://jenkins.example",
            "",
        ):
            self.assertFalse(allowed.allow(url), url)
