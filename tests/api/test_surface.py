"""What holds for every route, whatever is sent to it."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest
from zope.interface import implementer

from metro_backend.api.links import Links, plausible_host
from metro_backend.api.routing import routes_of
from metro_backend.api.surface import areas
from tests.doubles.app import AppTestCase, Reply

ENVIRON = {
    "admin": "true",
    "admin_password": "s3cret",
    "github_webhook_secret": "hush",
    "notify_token": "t0ken",
}


class RoutesTests(AppTestCase):
    """Every route in the table."""

    environ = ENVIRON

    def routes(self) -> list[tuple[str, tuple[str, ...]]]:
        """List the paths, with an example in place of each name, and their methods."""
        made = areas(self.app.settings, self.app.parts)
        found = [route for area in made for route, _ in routes_of(area)]
        self.assertGreater(len(found), 20)
        return [
            (
                each.rule.replace("<path:name>", "play").replace("<name>", "MosMetro-play-v77.apk"),
                each.methods,
            )
            for each in found
        ]

    def test_no_redirect_on_post(self) -> None:
        """No POST is answered with a redirect, at either root, with or without a last slash."""
        self.app.start()
        for path, _ in self.routes():
            for variant in (path, f"/mosmetro{path}", path.rstrip("/") + "/", path + "//"):
                reply = self.ask("POST", variant, body=b"a=b")
                self.assertFalse(300 <= reply.code < 400, variant)
                self.assertIsNone(reply.header("Location"), variant)

    def test_never_a_cookie(self) -> None:
        """No answer sets a cookie or sends a phone elsewhere."""
        self.app.start()
        for path, methods in self.routes():
            for method in {*methods, "HEAD", "OPTIONS", "PUT"}:
                reply = self.ask(method, path, passing=1.25)
                self.assertIsNone(reply.header("Set-Cookie"), path)
                self.assertIsNone(reply.header("Location"), path)

    def test_cross_origin(self) -> None:
        """Answers and errors of public routes may be read from any origin; admin's may not."""
        self.app.start()
        for path, methods in self.routes():
            for method in (*methods, "OPTIONS", "DELETE"):
                reply = self.ask(method, path, passing=1.25)
                wanted = None if path.startswith("/api/admin") else "*"
                self.assertEqual(reply.header("Access-Control-Allow-Origin"), wanted, path)
        self.assertEqual(self.ask("GET", "/no").header("Access-Control-Allow-Origin"), "*")

    def test_methods(self) -> None:
        """A wrong method is 405 with Allow, and OPTIONS is answered for every path."""
        self.app.start()
        for path, methods in self.routes():
            wrong = self.ask("DELETE", path)
            self.assertEqual(wrong.code, 405, path)
            allowed = set((wrong.header("Allow") or "").split(", "))
            self.assertLessEqual({*methods, "OPTIONS"}, allowed)
            options = self.ask("OPTIONS", path)
            self.assertEqual((options.code, options.body), (204, b""))
            self.assertEqual(options.header("Allow"), wrong.header("Allow"))

    def test_head(self) -> None:
        """Every GET has a HEAD of the same length without a body."""
        self.app.start()
        for path, methods in self.routes():
            if "GET" not in methods or path.startswith("/api/admin"):
                continue
            get, head = self.ask("GET", path), self.ask("HEAD", path)
            self.assertEqual(head.code, get.code, path)
            self.assertEqual(head.header("Content-Length"), str(len(get.body)), path)
            self.assertEqual(head.body, b"", path)

    def test_both_roots(self) -> None:
        """Every route is there below /mosmetro as well."""
        self.app.start()
        for path, methods in self.routes():
            for method in methods:
                one, other = (
                    self.ask(method, prefix + path, passing=1.25) for prefix in ("", "/mosmetro")
                )
                self.assertEqual(one.code, other.code, path)


class OddInputTests(AppTestCase):
    """Whatever is sent."""

    environ = ENVIRON

    paths = st.sampled_from(
        [
            "/",
            "/api/v1/branches.php",
            "/api/v1/download.php",
            "/api/v1/statistics.php",
            "/api/v2/stats",
            "/api/v2/download/",
            "/api/v3/stats",
            "/api/admin/flush",
            "/api/notify/github",
            "/check.php",
            "/update.php",
            "/releases/",
            "/mosmetro/",
            "/mosmetro",
            "//",
        ]
    )
    pieces = st.sampled_from(
        [
            "%2F",
            "%00",
            "..",
            "%2e%2e%2f",
            "%ff",
            "%D0%B9",
            "%",
            "%zz",
            ";x",
            "a" * 300,
            "?",
            "&=",
            "%0d%0a",
            "branch=",
            "download=",
            "module=",
            "reset=",
            "\\",
        ]
    )
    headers = st.dictionaries(
        st.sampled_from(
            [
                "Range",
                "If-Match",
                "If-Range",
                "If-None-Match",
                "If-Modified-Since",
                "Accept",
                "Authorization",
                "Content-Type",
                "X-Forwarded-Host",
                "X-Forwarded-Proto",
                "Accept-Language",
                "User-Agent",
            ]
        ),
        st.sampled_from(
            [
                "",
                "*",
                '"',
                'W/"x"',
                "bytes=0-",
                "bytes=-1",
                "bytes=9-1",
                "Basic !!!",
                "Bearer",
                "й",
                "text/html",
                "a,b;q=x",
                "Thu, 99 Foo",
                'evil"<>',
                "x" * 2000,
            ]
        ),
        max_size=3,
    )

    def setUp(self) -> None:
        """Start one server for all examples."""
        super().setUp()
        self.app.start()

    @given(
        st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "BREW"]),
        paths,
        st.lists(pieces, max_size=4),
        headers,
        st.binary(max_size=50),
    )
    @hypothesis_settings(
        deadline=None, max_examples=250, suppress_health_check=[HealthCheck.differing_executors]
    )
    def test_no_error_of_ours(
        self, method: str, path: str, pieces: list[str], headers: dict[str, str], body: bytes
    ) -> None:
        """Nothing that is sent makes the server fail, or show a traceback."""
        reply = self.ask(
            method,
            path + "".join(pieces),
            body=body,
            passing=1.25,
            headers=headers,
        )
        self.assertIn(reply.code, (200, 202, 204, 206, 304, 400, 401, 404, 405, 412, 416, 502, 503))
        self.assertNotIn(b"Traceback", reply.body)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_long_query(self) -> None:
        """A query of 8 KB is answered, a longer one refused."""
        self.assertEqual(self.ask("GET", "/api/v1/branches.php?x=" + "y" * 8000).code, 200)
        self.assertEqual(self.ask("GET", "/api/v1/branches.php?x=" + "y" * 9000).code, 400)

    def test_traversal(self) -> None:
        """No path leads out of the table of names."""
        for name in ("..%2f..%2fetc%2fpasswd", "..", "%2e%2e/x", ".%00", "snapshot.json"):
            self.assertEqual(self.ask("GET", f"/releases/{name}").code, 404)


class HostTests(AppTestCase):
    """The host is the client's choice, and goes into links."""

    def asked(self, host: str) -> Reply:
        """Ask for the list with this Host."""
        return self.ask("GET", "/api/v1/branches.php", Host=host)

    def test_plausible(self) -> None:
        """Names, addresses and ports are taken."""
        self.app.start()
        for host in (
            "mosmetro.example",
            "localhost:8000",
            "127.0.0.1",
            "[::1]:80",
            "a-b.c.",
            "_x.y",
        ):
            self.assertTrue(plausible_host(host), host)
            reply = self.asked(host)
            self.assertEqual(reply.code, 200, host)
            self.assertIn(f"http://{host}/api/v1/download.php".encode(), reply.body)

    def test_implausible(self) -> None:
        """Anything else is refused before a route sees it."""
        self.app.start()
        for host in (
            'x"y',
            "a b",
            "x/y",
            "user@x",
            "x:y",
            "x:123456",
            "a" * 64 + ".example",
            "b." * 200,
            "<script>",
            "й.example",
            "[::1",
            "..",
        ):
            self.assertFalse(plausible_host(host), host)
        for host in ('x"y', "a b", "<script>", "a" * 64 + ".example"):
            self.assertEqual(self.asked(host).code, 400, host)

    def test_any_length(self) -> None:
        """A client cannot choose how long the check takes."""
        for host in ("a" * 255, "a" * 60 + "!", "a." * 127 + "!", "-" * 255, "[" + ":" * 254):
            plausible_host(host)

    def test_hosts_that_klein_stumbles_over(self) -> None:
        """Empty labels and addresses that are none are refused here, not by an exception later."""
        self.app.start()
        for host in ("x..y", "a..", "[....]", "[::1]:99999", "x:0123456"):
            self.assertEqual(self.asked(host).code, 400, host)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refused_head_is_not_logged(self) -> None:
        """A refused HEAD leaves no address, and no token in it, in the log."""
        self.app.start()
        seen: list[str] = []

        @implementer(ILogObserver)
        def see(event: LogEvent) -> None:
            seen.append(str(event))

        globalLogPublisher.addObserver(see)
        self.addCleanup(globalLogPublisher.removeObserver, see)
        reply = self.ask("HEAD", "/api/notify/jenkins?token=hush", Host="a b")
        self.assertEqual((reply.code, reply.body), (400, b""))
        self.assertNotIn("hush", "".join(seen))

    @given(st.text(max_size=40))
    @hypothesis_settings(deadline=None)
    def test_any_text(self, host: str) -> None:
        """What passes is made of harmless characters."""
        if plausible_host(host):
            self.assertRegex(host, r"\A[A-Za-z0-9_.:\[\]-]+\Z")


class LinksTests(SynchronousTestCase):
    """The base of links, behind proxies."""

    def base(self, links: Links, peer: object, **headers: bytes) -> str:
        """Return the base for a request from this peer."""
        request: Any = DummyRequest([b""])
        request.client = peer
        request.getClientAddress = lambda: peer
        request.mounted_at = ""
        request.isSecure = lambda: False
        for name, value in {"host": b"here.example", **headers}.items():
            request.requestHeaders.setRawHeaders(name.replace("_", "-"), [value])
        return links.base(request)

    def test_trusted(self) -> None:
        """A trusted proxy tells scheme and host; so does a peer on a unix socket."""
        links = Links("", ("127.0.0.1", "10.0.0.0/8"))
        forwarded = {"x_forwarded_proto": b"https", "x_forwarded_host": b"public.example:444"}
        for peer in (
            IPv4Address("TCP", "127.0.0.1", 1),
            IPv4Address("TCP", "10.1.2.3", 1),
            IPv4Address("TCP", "::ffff:10.1.2.3", 1),
            UNIXAddress(None),
        ):
            self.assertEqual(self.base(links, peer, **forwarded), "https://public.example:444")

    def test_untrusted(self) -> None:
        """Anybody else does not."""
        links = Links("", ("127.0.0.1",))
        peer = IPv4Address("TCP", "192.0.2.1", 1)
        base = self.base(links, peer, x_forwarded_proto=b"https", x_forwarded_host=b"evil.example")
        self.assertEqual(base, "http://here.example")

    def test_nonsense(self) -> None:
        """What a trusted proxy passes on of a client's nonsense is not taken."""
        links = Links("", ("127.0.0.1",))
        peer = IPv4Address("TCP", "127.0.0.1", 1)
        base = self.base(links, peer, x_forwarded_proto=b"gopher", x_forwarded_host=b'e"vil')
        self.assertEqual(base, "http://here.example")
