"""Made packages."""

from __future__ import annotations

import hashlib
import io
import zipfile

from twisted.trial.unittest import SynchronousTestCase

from metro_backend.demo.apk import SMALLEST, ApkCache, digests_of, make_apk


class MakeApkTests(SynchronousTestCase):
    """make_apk()"""

    def test_valid_and_exact(self) -> None:
        """A package has the size that was asked for and opens as a ZIP with an app's files."""
        for size in (SMALLEST, SMALLEST + 1, 4096, 3_000_001):
            body = make_apk("seed", size)
            self.assertEqual(len(body), size)
            self.assertTrue(body.startswith(b"PK\x03\x04"))
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                self.assertIsNone(archive.testzip())
                self.assertLessEqual(
                    {"AndroidManifest.xml", "classes.dex", "META-INF/MANIFEST.MF"},
                    set(archive.namelist()),
                )

    def test_seed(self) -> None:
        """The same seed gives the same bytes in every process, another seed others."""
        body = make_apk("seed", 2000)
        self.assertEqual(body, make_apk("seed", 2000))
        self.assertEqual(
            hashlib.sha256(body).hexdigest(),
            "60c7d135138fd27b41367e9c4eba7988ed39c7bd0836bdcdded37bef1ac2134e",
        )
        self.assertNotEqual(body, make_apk("other", 2000))

    def test_too_small(self) -> None:
        """A size below the smallest package is refused."""
        self.assertRaises(ValueError, make_apk, "seed", SMALLEST - 1)


class ApkCacheTests(SynchronousTestCase):
    """ApkCache"""

    def test_bounded(self) -> None:
        """The cache forgets the oldest packages beyond its limit, and makes them again alike."""
        cache = ApkCache(limit=10_000)
        first = cache.get("0", 4000)
        self.assertIs(cache.get("0", 4000), first)
        for seed in ("1", "2", "3"):
            cache.get(seed, 4000)
            self.assertLessEqual(cache.size, 10_000)
        again = cache.get("0", 4000)
        self.assertIsNot(again, first)
        self.assertEqual(again, first)

    def test_big(self) -> None:
        """A package above the limit is kept until the next one is made."""
        cache = ApkCache(limit=1000)
        self.assertIs(cache.get("0", 4000), cache.get("0", 4000))
        cache.get("1", 4000)
        self.assertEqual(cache.size, 4000)

    def test_digests(self) -> None:
        """The digests are those of the bytes."""
        cache = ApkCache()
        self.assertEqual(cache.digests("0", 4000), digests_of(make_apk("0", 4000)))
        self.assertEqual(
            digests_of(b"").md5,
            "d41d8cd98f00b204e9800998ecf8427e",
        )
