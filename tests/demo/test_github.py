"""The stand-in GitHub."""

from __future__ import annotations

import hashlib

from tests.demo.memory import BASE, RELEASES, StandInCase

RELEASE_KEYS = {
    "url", "html_url", "id", "author", "node_id", "tag_name", "target_commitish", "name", "draft",
    "prerelease", "created_at", "published_at", "assets", "tarball_url", "zipball_url", "body",
}  # fmt: skip
ASSET_KEYS = {
    "url", "id", "name", "label", "content_type", "state", "size", "digest", "download_count",
    "created_at", "updated_at", "browser_download_url",
}  # fmt: skip


class ReleasesTests(StandInCase):
    """The list of releases."""

    def test_shape(self) -> None:
        """Every release and asset has the fields of contract §2.5."""
        releases = self.json(RELEASES)
        for release in releases:
            self.assertLessEqual(RELEASE_KEYS, set(release))
            for asset in release["assets"]:
                self.assertLessEqual(ASSET_KEYS, set(asset))
        self.assertEqual(
            [(r["tag_name"], r["draft"], r["prerelease"], len(r["assets"])) for r in releases],
            [
                ("79", True, False, 1),
                ("78", False, True, 1),
                ("77", False, False, 1),
                ("v2.3", False, False, 1),
                ("76", False, False, 1),
                ("75", False, False, 0),
                ("74", False, False, 1),
            ],
        )

    def test_pages(self) -> None:
        """Pages follow each other by the Link header and hold every release once."""
        for number in range(80, 120):
            self.stand_in.github.add_release(str(number), assets=[])
        self.assertEqual(len(self.json(RELEASES)), 30)
        url, tags, pages = f"{RELEASES}?per_page=20", [], 0
        while url:
            response, _ = self.get(url)
            tags += [release["tag_name"] for release in self.json(url)]
            pages += 1
            links = self.header(response, "Link") or ""
            url = links.partition('; rel="next"')[0].rpartition("<")[2].rstrip(">")
            if 'rel="next"' not in links:
                break
        self.assertEqual(pages, 3)
        self.assertEqual(tags, [release.tag for release in self.stand_in.github.releases])
        self.assertEqual(self.json(f"{RELEASES}?page=9"), [])
        self.assertEqual(len(self.json(f"{RELEASES}?per_page=junk&page=-1")), 30)

    def test_one_page(self) -> None:
        """A list that fits on one page has no Link."""
        response, _ = self.get(RELEASES)
        self.assertIsNone(self.header(response, "Link"))

    def test_user_agent(self) -> None:
        """A client that does not say who it is gets 403."""
        response, _ = self.get(RELEASES, {"User-Agent": ""})
        self.assertEqual(response.code, 403)

    def test_not_modified(self) -> None:
        """A page that is known by its ETag is 304, until a release is added to it."""
        response, _ = self.get(RELEASES)
        etag = self.header(response, "ETag") or ""
        self.assertEqual(self.header(response, "X-RateLimit-Limit"), "60")
        again, body = self.get(RELEASES, {"If-None-Match": etag})
        self.assertEqual((again.code, body), (304, b""))
        self.stand_in.github.add_release("80")
        again, _ = self.get(RELEASES, {"If-None-Match": etag})
        self.assertEqual(again.code, 200)

    def test_etag_per_token(self) -> None:
        """An ETag holds for one path, one query and one token."""
        seen = set()
        for target, headers in (
            (RELEASES, {}),
            (f"{RELEASES}?page=1", {}),
            (RELEASES, {"Authorization": "Bearer a"}),
            (RELEASES, {"Authorization": "Bearer b"}),
        ):
            response, _ = self.get(target, headers)
            seen.add(self.header(response, "ETag"))
        self.assertEqual(len(seen), 4)

    def test_token(self) -> None:
        """Where a token is set, another one is refused and none is good enough."""
        self.stand_in.github.token = "right"
        for headers, status in (
            ({}, 200),
            ({"Authorization": "Bearer right"}, 200),
            ({"Authorization": "Bearer wrong"}, 401),
        ):
            self.assertEqual(self.get(RELEASES, headers)[0].code, status)

    def test_unknown(self) -> None:
        """A repository that is not there is 404 as JSON."""
        response, body = self.get("/repos/o/r/releases")
        self.assertEqual(response.code, 404)
        self.assertIn(b'"Not Found"', body)

    def test_mutable(self) -> None:
        """Nulls, no assets and another tag show in the next answer."""
        release = self.stand_in.github.releases[1]
        release.name = release.body = None
        release.tag = "v2.4"
        release.assets.clear()
        shown = self.json(RELEASES)[1]
        self.assertEqual(
            (shown["name"], shown["body"], shown["tag_name"], shown["assets"]),
            (None, None, "v2.4", []),
        )

    def test_lazy(self) -> None:
        """Nothing of a package is made before a digest or the file is asked for."""
        self.assertEqual(self.stand_in.apks.size, 0)


class AssetTests(StandInCase):
    """The assets."""

    def asset_url(self, release: int = 1) -> str:
        """Follow a listed download to the asset host."""
        url = self.json(RELEASES)[release]["assets"][0]["browser_download_url"]
        response, body = self.get(url)
        self.assertEqual((response.code, body), (302, b""))
        return self.header(response, "Location") or ""

    def test_bytes(self) -> None:
        """A download leads to another host, and the bytes have the listed size and digest."""
        asset = self.json(RELEASES)[1]["assets"][0]
        self.assertTrue(asset["browser_download_url"].startswith(f"{BASE}/"))
        url = self.asset_url()
        self.assertTrue(url.startswith("http://localhost:8080/github-assets/"), url)
        response, body = self.get(url)
        self.assertEqual(response.code, 200)
        self.assertEqual(response.length, asset["size"])
        self.assertEqual(len(body), asset["size"])
        self.assertEqual(asset["digest"], f"sha256:{hashlib.sha256(body).hexdigest()}")

    def test_range(self) -> None:
        """A download goes on where it stopped, as long as the file is the same."""
        url = self.asset_url()
        response, whole = self.get(url)
        etag = self.header(response, "ETag") or ""
        part, body = self.get(url, {"Range": "bytes=1000-", "If-Range": etag})
        self.assertEqual((part.code, body), (206, whole[1000:]))
        self.stand_in.github.releases[1].assets[0].updated_at = "2021-07-02T00:00:00Z"
        part, body = self.get(self.asset_url(), {"Range": "bytes=1000-", "If-Range": etag})
        self.assertEqual((part.code, len(body)), (200, len(whole)))
        self.assertNotEqual(body, whole)

    def test_head(self) -> None:
        """HEAD tells the length and sends no body."""
        response, body = self.get(self.asset_url(), method="HEAD")
        self.assertEqual((self.header(response, "Content-Length"), body), ("2598123", b""))

    def test_signature(self) -> None:
        """The asset host wants the signature, and no token beside it."""
        url = self.asset_url()
        self.assertEqual(self.get(url.partition("?")[0])[0].code, 403)
        self.assertEqual(self.get(url, {"Authorization": "Bearer t"})[0].code, 400)
        self.assertEqual(self.get("/github-assets/1?sig=x")[0].code, 404)

    def test_content(self) -> None:
        """Bytes of a test's own may stand in for a package, and a digest may be missing."""
        asset = self.stand_in.github.releases[1].assets[0]
        asset.content = b"<html>"
        asset.has_digest = False
        shown = self.json(RELEASES)[1]["assets"][0]
        self.assertEqual((shown["size"], shown["digest"]), (6, None))
        self.assertEqual(self.get(self.asset_url())[1], b"<html>")

    def test_missing(self) -> None:
        """A file that no release has is 404."""
        response, _ = self.get("/mosmetro-android/mosmetro-android/releases/download/78/x.apk")
        self.assertEqual(response.code, 404)

    def test_other_hosts(self) -> None:
        """URLs are built from the host that the client asked for."""
        base = "https://github.example"
        url = self.json(f"{base}{RELEASES}")[1]["assets"][0]["browser_download_url"]
        self.assertTrue(url.startswith(f"{base}/mosmetro-android/"), url)
        location = self.header(self.get(url)[0], "Location") or ""
        self.assertTrue(location.startswith("https://objects.github.example/"), location)

    def test_module(self) -> None:
        """The module's repository has a release with a package."""
        module = self.json("/repos/mosmetro-android/module-captcha-recognition/releases")
        self.assertTrue(module[0]["assets"][0]["name"].endswith(".apk"))
