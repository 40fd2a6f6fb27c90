"""One download over a connection of its own, as the crowds do it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Download:
    """What came; times are of `time.perf_counter`."""

    began: float
    first_byte: float
    ended: float
    sha256: str
    """Empty if it was not all that was promised."""


async def open_download(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
    """Ask for a file, read the head, and return the length. Raises OSError unless it is 200."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode("ascii"))
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not answer.startswith(b"http/1.1 200"):
        writer.close()
        raise OSError(answer.partition(b"\r\n")[0].decode("latin-1"))
    return reader, writer, int(answer.split(b"content-length:")[1].split(b"\r\n")[0])


async def download(url: str) -> Download:
    """Get a whole file. Raises OSError, also if the answer is not 200."""
    began = time.perf_counter()
    reader, writer, left = await open_download(url)
    digest = hashlib.sha256()
    first_byte = 0.0
    while left and (data := await reader.read(min(left, 65536))):
        first_byte = first_byte or time.perf_counter()
        digest.update(data)
        left -= len(data)
    writer.close()
    sha256 = "" if left else digest.hexdigest()
    return Download(began, first_byte, time.perf_counter(), sha256)
