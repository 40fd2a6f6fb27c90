"""The routes of the old stack's stand-in: Flask, under uWSGI, in an environment of its own.

It does less than the old code did: no Redis, no list to be made, no StatsD, no
pickled responses; a file is in memory already.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

# Not one of the project's dependencies.
flask: Any = import_module("flask")

_BODY = Path(os.environ["BENCH_BODY"]).read_bytes()
_FILE = Path(os.environ["BENCH_FILE"]).read_bytes()

app = flask.Flask(__name__)


def branches() -> Any:
    """Answer with the list."""
    return flask.Response(_BODY, content_type="application/json")


def stats() -> Any:
    """Read a report."""
    flask.request.form.get("version_name")
    return ""


def download(name: str) -> Any:
    """Send the file, whatever it is called."""
    return flask.Response(_FILE, content_type="application/vnd.android.package-archive")


app.add_url_rule("/api/v1/branches.php", view_func=branches)
app.add_url_rule("/api/v2/stats", view_func=stats, methods=["POST"])
app.add_url_rule("/releases/<name>", view_func=download)
