"""``python -m bench.crowd``: phones that want one build, one after the other."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics

from bench.download import download


async def _run() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("origin", help="the same file where it comes from, fetched beside it")
    arguments.add_argument("--phones", type=int, default=50)
    arguments.add_argument("--apart", type=float, default=0.25, help="seconds")
    given = arguments.parse_args()

    direct = asyncio.create_task(download(given.origin))
    # The origin makes the file when it is asked for the first time.
    await asyncio.sleep(1)
    phones = []
    for _ in range(given.phones):
        phones.append(asyncio.create_task(download(given.url)))
        await asyncio.sleep(given.apart)
    control = await direct
    done = await asyncio.gather(*phones)
    took = control.ended - control.began
    waits = [each.first_byte - each.began for each in done]
    # Those that come later find the file there.
    began = done[0].began
    early = [each for each in done if each.began < began + took]
    print(
        json.dumps(
            {
                "fill": took,
                "worst": max(waits),
                "median": statistics.median(waits),
                "last": max(each.ended - began for each in early) / took,
                "early": len(early),
                "right": sum(each.sha256 == control.sha256 for each in done),
                "phones": given.phones,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(_run())
