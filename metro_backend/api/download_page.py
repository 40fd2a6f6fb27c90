"""The page that leads a browser to a file: link, script, and a refresh for those without."""

from __future__ import annotations

import html
import json

_PAGE = """<!DOCTYPE html>
<html lang="ru">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Wi-Fi в метро</title>
<noscript><meta http-equiv="refresh" content="0; url={attribute}"></noscript>
<script>window.location.replace({script});</script>
</head>
<body><a href="{attribute}">Нажмите сюда, если перенаправление не сработало</a></body>
</html>
"""


def download_page(path: str) -> bytes:
    """Make the page; the path is quoted for HTML and for the script, each in its own way."""
    # A "</script>" within a string would end the script, so no "<" may be left in it.
    script = json.dumps(path).replace("<", "\\u003c").replace("&", "\\u0026")
    return _PAGE.format(attribute=html.escape(path, quote=True), script=script).encode()
