"""The pages in a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.threads import deferToThread

from e2e.provision import need_program
from tests.doubles.server_process import ProcessTestCase, ServerProcess

reactor: Any = installed_reactor

QUIET = (
    "--headless",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
)
"""Chromium without the calls home that it makes by itself."""


class BrowserTests(ProcessTestCase):
    """Headless Chromium."""

    def command(self, url: str, *options: str) -> list[str]:
        """Return the command line that opens a page, with a profile of its own."""
        chromium = need_program("chromium", "chromium")
        profile = tempfile.mkdtemp(prefix="chromium")
        self.addCleanup(shutil.rmtree, profile, ignore_errors=True)
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        return [chromium, *QUIET, *sandbox, f"--user-data-dir={profile}", *options, url]

    async def dom(self, url: str) -> str:
        """Return what a page has become."""
        command = self.command(url, "--dump-dom")
        done = await deferToThread(subprocess.run, command, capture_output=True, timeout=90)
        return done.stdout.decode("utf-8", "replace")

    def visit(self, url: str, *options: str) -> None:
        """Open a page and stay on it until the test ends."""
        command = self.command(url, "--remote-debugging-port=0", *options)
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.addCleanup(process.wait)
        # Its children would outlive it.
        self.addCleanup(os.killpg, process.pid, signal.SIGKILL)

    async def started(self) -> ServerProcess:
        """Start a server that tells its counters."""
        server = self.server(admin="true", admin_password="s3cret")
        await server.start()
        await server.ready()
        return server

    async def downloads(self, server: ServerProcess) -> int:
        """Return how many downloads of play have begun."""
        response = await server.http.get(f"{server.url}/api/admin/status", auth=("admin", "s3cret"))
        totals = (await response.json())["counters"]["totals"]
        return int(totals.get("update.play.77", 0))

    async def test_download_page(self) -> None:
        """download.php leads to the file, by its script and, where scripts are off, without."""
        server = await self.started()
        page = f"{server.url}/api/v1/download.php?branch=play"
        for number, options in enumerate(((), ("--blink-settings=scriptEnabled=false",)), 1):
            self.visit(page, *options)

            async def begun(number: int = number) -> bool:
                return await self.downloads(server) >= number

            await self.until(begun, 60.0)

    async def test_page_for_people(self) -> None:
        """The first page shows every branch with a link, in both languages."""
        server = await self.started()
        for language, word in (("ru", "Скачать"), ("en", "Download")):
            shown = await self.dom(f"{server.url}/?lang={language}")
            self.assertIn("/releases/MosMetro-play-v77.apk", shown)
            self.assertIn("/releases/MosMetro-master-b438.apk", shown)
            self.assertIn(word, shown)
