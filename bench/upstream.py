"""``python -m bench.upstream``: the stand-in GitHub and Jenkins in a process of its own."""

from __future__ import annotations

import argparse
import json
from collections import Counter

from twisted.internet import reactor

from metro_backend.demo.builds import Job
from metro_backend.demo.content import demo_content
from metro_backend.demo.faults import Hang, Slow
from metro_backend.demo.service import DemoService


def main() -> None:
    """Serve until SIGTERM, then tell which files were asked for, and how often."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--build", action="append", default=[], help="BRANCH=BYTES")
    arguments.add_argument("--slow", action="append", default=[], help="BRANCH=BYTES per second")
    arguments.add_argument("--hang", action="store_true", help="never answer anything")
    given = arguments.parse_args()

    content = demo_content()
    for each in given.build:
        branch, _, size = each.partition("=")
        job = Job(name=branch)
        job.add_build("A change", size=int(size))
        content.projects[0].jobs.append(job)
    demo = DemoService.bind(reactor, content)
    for each in given.slow:
        branch, _, rate = each.partition("=")
        demo.stand_in.faults.set(f"*/job/{branch}/*.apk", Slow(float(rate)))
    if given.hang:
        demo.stand_in.faults.set("/", Hang())
    demo.startService()
    print(f"listening on {demo.url}", flush=True)
    reactor.run()
    files = (path for _, path in demo.stand_in.calls if path.endswith(".apk"))
    print(f"fetched {json.dumps(Counter(files))}", flush=True)


if __name__ == "__main__":
    main()
