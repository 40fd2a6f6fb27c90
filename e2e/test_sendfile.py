"""A real NGINX in front sends kept builds, and nobody can tell the difference."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from treq import get
from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater

from e2e.provision import need_program
from tests.doubles.redis_server import free_port
from tests.doubles.server_process import ROOT, ProcessTestCase

reactor: Any = installed_reactor

SAME = (
    "content-type",
    "content-length",
    "etag",
    "last-modified",
    "content-disposition",
    "content-range",
    "repr-digest",
    "access-control-allow-origin",
)
"""What a download manager looks at."""


class SendfileTests(ProcessTestCase):
    """``deploy/nginx/sendfile.conf``, as it is shipped."""

    async def test_same_answers(self) -> None:
        """Every kind of request is answered by NGINX as by the server alone."""
        nginx = need_program("nginx", "nginx-light")
        server = self.server(sendfile="x-accel:/internal/")
        await server.start()
        await server.ready()
        path = "/releases/MosMetro-master-b438.apk"
        port = await self.front(nginx, server.url, server.directory.resolve() / "var" / "shelf")
        # The first one is passed through while it arrives; the others are on the shelf.
        _, whole = await self.asked(port, path)
        plain = self.server(state_dir=str(server.directory.resolve() / "var"))
        await plain.start()
        await plain.ready()
        await self.stored(plain)
        tag = (await plain.http.get(plain.url + path)).headers.getRawHeaders("etag")[0]
        kinds: list[Any] = [
            {},
            {"Range": "bytes=0-99"},
            {"Range": "bytes=1000-"},
            {"Range": "bytes=-1"},
            {"Range": "bytes=99999999-"},
            {"Range": "bytes=0-1,5-6"},
            {"Range": "bytes=5-", "If-Range": tag},
            {"Range": "bytes=5-", "If-Range": '"other"'},
            {"Range": "bytes=5-", "If-Match": tag},
            {"If-Match": '"other"'},
            {"If-None-Match": tag},
        ]
        for headers in kinds:
            for method in ("GET", "HEAD"):
                wanted = await plain.http.request(method, plain.url + path, headers=headers)
                got = await server.http.request(
                    method, f"http://127.0.0.1:{port}{path}", headers=headers
                )
                self.assertEqual(got.code, wanted.code, headers)
                self.assertEqual(await got.content(), await wanted.content(), headers)
                if got.code in (200, 206):
                    for name in SAME:
                        self.assertEqual(
                            got.headers.getRawHeaders(name),
                            wanted.headers.getRawHeaders(name),
                            f"{name} {headers} {method}",
                        )
        log = (self.directory / "access.log").read_text()
        self.assertIn("/internal/", log)
        self.assertEqual(len(whole), 3347198)

    async def stored(self, server: Any) -> None:
        """Wait until the build is on the shelf."""

        async def there() -> bool:
            response = await server.http.get(
                f"{server.url}/releases/", headers={"Accept": "application/json"}
            )
            files = (await response.json())["files"]
            return any(file["stored"] for file in files)

        await self.until(there)

    async def asked(self, port: int, path: str) -> tuple[int, bytes]:
        """Ask NGINX."""
        response = await get(f"http://127.0.0.1:{port}{path}", persistent=False)
        return response.code, await response.content()

    async def front(self, nginx: str, backend: str, shelf: Path) -> int:
        """Start NGINX with the shipped file; return its port."""
        self.directory = Path(tempfile.mkdtemp(prefix="nginx"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        # Its workers may run as another user, and must be able to read the shelf.
        port = free_port()
        shipped = (ROOT / "deploy" / "nginx" / "sendfile.conf").read_text()
        shipped = shipped.replace("/var/lib/metro-backend/shelf/", f"{shelf}/")
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off;
            pid {self.directory}/pid;
            error_log {self.directory}/error.log;
            events {{ worker_connections 64; }}
            http {{
                types {{ }}
                default_type application/octet-stream;
                log_format uri "$uri";
                access_log {self.directory}/access.log uri;
                client_body_temp_path {self.directory}/body;
                proxy_temp_path {self.directory}/proxy;
                fastcgi_temp_path {self.directory}/f;
                uwsgi_temp_path {self.directory}/u;
                scgi_temp_path {self.directory}/s;
                upstream metro_backend {{ server {backend.removeprefix("http://")}; keepalive 16; }}
                server {{ listen 127.0.0.1:{port}; {shipped} }}
            }}
            """
        )
        process = subprocess.Popen([nginx, "-c", str(configuration), "-p", str(self.directory)])
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

        async def answers() -> bool:
            try:
                return (await self.asked(port, "/healthz"))[0] == 200
            except Exception:
                await deferLater(reactor, 0.05, lambda: None)
                return False

        await self.until(answers)
        return port
