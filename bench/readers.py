"""``python -m bench.readers``: many slow readers of one file, and many that ask for cold ones."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from collections.abc import Awaitable
from urllib.parse import urlsplit

from bench.download import download

_TOGETHER = 50
"""Connections that are made at once."""


async def _slow(url: str, rate: int, stop_at: asyncio.Future[float], phase: float) -> int:
    """Read at so many bytes a second until it is time; return how many there were."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    with socket.socket() as made:
        # The kernel would take most of the file for us.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.setblocking(False)
        await loop.sock_connect(made, (parts.hostname, parts.port))
        head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
        await loop.sock_sendall(made, head.encode("ascii"))
        answer = await loop.sock_recv(made, 512)
        if not answer.startswith(b"HTTP/1.1 200"):
            return 0
        received = 0
        end = await stop_at
        await asyncio.sleep(phase)
        while time.monotonic() < end:
            received += len(await loop.sock_recv(made, rate))
            await asyncio.sleep(1.0)
        return received


async def _right(url: str, digests: dict[str, str]) -> bool:
    """Tell whether a whole file came, the same one as to the others."""
    try:
        sha256 = (await download(url)).sha256
    except (OSError, ValueError, asyncio.IncompleteReadError):
        return False
    return bool(sha256) and digests.setdefault(url, sha256) == sha256


async def _run() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("cold", nargs="*")
    arguments.add_argument("--readers", type=int, default=1000)
    arguments.add_argument("--rate", type=int, default=2048, help="bytes per second of each")
    arguments.add_argument("--requests", type=int, default=200, help="for the cold files")
    arguments.add_argument("--seconds", type=float, default=20)
    given = arguments.parse_args()

    stop_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    slow = []
    for number in range(given.readers):
        phase = number / given.readers
        slow.append(asyncio.create_task(_slow(given.url, given.rate, stop_at, phase)))
        if number % _TOGETHER == 0:
            await asyncio.sleep(0.05)
    print("connected", flush=True)
    stop_at.set_result(time.monotonic() + given.seconds)
    digests: dict[str, str] = {}
    cold: list[Awaitable[bool]] = [
        _right(given.cold[number % len(given.cold)], digests) for number in range(given.requests)
    ]
    right = await asyncio.gather(*cold)
    received = await asyncio.gather(*slow, return_exceptions=True)
    fed = [each for each in received if isinstance(each, int) and each > 0]
    told = {"fed": len(fed), "received": sum(fed), "right": sum(right), "digests": digests}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(_run())
