"""The project's image, and look-alikes of the others, built once for all tests of a run."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from e2e.base_image import PYTHON, SERVICES, tarball, trust
from e2e.docker_engine import Engine, remove_data_root
from e2e.provision import CACHE, need_npm

ROOT = Path(__file__).resolve().parent.parent
SERVER = "metro-backend:e2e"
DEVELOPMENT = "metro-backend:development"
BASE = "python:3.13-slim-trixie"
"""What the Dockerfile names."""

OFFLINE = "metro-e2e:offline"

_OFFLINE = f"""\
FROM {BASE}
COPY --from=metro-e2e:built /wheels /opt/wheels
RUN pip wheel --wheel-dir /opt/wheels 'setuptools>=77' \\
 && printf '[global]\\nno-index = true\\nfind-links = /opt/wheels\\n' >/etc/pip.conf
"""

LOOK_ALIKES = {
    "redis:7.2-alpine": 'WORKDIR /data\nVOLUME /data\nCMD ["redis-server"]',
    "influxdb:1.8.10": 'ENTRYPOINT ["influxd"]\nCMD ["-config", "/etc/influxdb/influxdb.conf"]',
    "statsd/statsd:v0.10.2": (
        "COPY node_modules/ /usr/src/app/node_modules/\n"
        "WORKDIR /usr/src/app\n"
        'ENTRYPOINT ["node", "node_modules/statsd/stats.js", "config.js"]'
    ),
    "haproxy:3.0-alpine": (
        "STOPSIGNAL SIGUSR1\n"
        'CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'
    ),
    # These two only listen and say that they are well: the real ones are not to be had here.
    "grafana/grafana:11.6.0": 'COPY standin.py /\nENTRYPOINT ["python3", "/standin.py", "3000"]',
    "chronograf:1.10-alpine": 'COPY standin.py /\nENTRYPOINT ["python3", "/standin.py", "8888"]',
    # Hands on what it is asked, without the shift.
    "thedrhax/influxdb-timeshift-proxy:1.0": (
        'COPY forward.cfg /\nENTRYPOINT ["haproxy", "-W", "-db", "-f", "/forward.cfg"]'
    ),
}
"""Dockerfile lines over the image that has all services; how the official ones are started."""

_STANDIN = """\
import http.server, sys
class Well(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"stand-in")
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Well).serve_forever()
"""

_FORWARD = """\
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend timeshift
    bind :8089
    default_backend influxdb
backend influxdb
    server influxdb "${INFLUXDB}"
"""


@cache
def data_root() -> Path:
    """Return an engine's data directory with the server's image; it is removed at exit.

    Raises:
        SkipTest: if images cannot be built here.
    """
    base = tarball(*PYTHON)
    directory = Path(tempfile.mkdtemp(prefix="data-", dir=_room()))
    atexit.register(remove_data_root, directory)
    engine = Engine(directory)
    try:
        _base(engine, base)
        arguments = ("--build-arg", "VERSION=e2e", "--build-arg", "COMMIT=0123456")
        for tag, options in ((SERVER, arguments), (DEVELOPMENT, ("--target", "development"))):
            # The machine's network, as there are packages to get.
            engine("build", "--network", "host", "--tag", tag, *options, ROOT, timeout=600)
    finally:
        engine.close()
    return directory


@cache
def data_root_with_services() -> Path:
    """Return the same directory, with images of all other services as well.

    Raises:
        SkipTest: if they cannot be made here.
    """
    directory = data_root()
    services = tarball(*SERVICES)
    modules = need_npm("statsd@0.9.0")
    engine = Engine(directory)
    try:
        engine("import", services, "metro-e2e:services", timeout=300)
        with tempfile.TemporaryDirectory(prefix="metro-e2e-") as name:
            work = Path(name)
            (work / "standin.py").write_text(_STANDIN)
            (work / "forward.cfg").write_text(_FORWARD)
            shutil.copytree(modules, work / "node_modules", symlinks=True)
            for image, lines in LOOK_ALIKES.items():
                build(engine, work, image, f"FROM metro-e2e:services\n{lines}\n")
    finally:
        engine.close()
    return directory


@cache
def data_root_with_wheels() -> Path:
    """Return the same directory, with `OFFLINE`, a base image on which a build needs no network.

    Raises:
        SkipTest: if it cannot be made here.
    """
    directory = data_root_with_services()
    engine = Engine(directory)
    try:
        options = ("--network", "host", "--tag")
        engine("build", "--target", "build", *options, "metro-e2e:built", ROOT, timeout=600)
        with tempfile.TemporaryDirectory(prefix="metro-e2e-") as name:
            (Path(name) / "Dockerfile").write_text(_OFFLINE)
            engine("build", *options, OFFLINE, name, timeout=300)
    finally:
        engine.close()
    return directory


def build(engine: Engine, context: Path, tag: str, dockerfile: str) -> None:
    """Build an image from the text of a Dockerfile; no network is needed."""
    path = context / "Dockerfile"
    path.write_text(dockerfile)
    # The older builder takes images that are only here without asking a registry for them.
    engine("build", "--tag", tag, context, timeout=300, env={"DOCKER_BUILDKIT": "0"})


def _base(engine: Engine, base: Path) -> None:
    engine("import", base, "metro-e2e:debian", timeout=300)
    with tempfile.TemporaryDirectory(prefix="metro-e2e-") as name:
        lines = trust(Path(name))
        build(
            engine,
            Path(name),
            BASE,
            "\n".join(["FROM metro-e2e:debian", *lines, 'CMD ["python3"]']),
        )


def _room() -> Path:
    room = CACHE / "engine"
    room.mkdir(parents=True, exist_ok=True)
    return room
