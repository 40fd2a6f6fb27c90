"""Rows 3 to 5: files that are there, a file that is still arriving, and a crowd of slow readers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest
from urllib.parse import urlsplit

from bench import servers
from bench.measure import Subject, alternate
from bench.servers import PATH
from bench.stage import Failed, Program, Stage, get
from bench.table import Row

_WARM = 4 * 1024 * 1024
_COLD = 20_000_000
_ORIGIN_RATE = 2_000_000
_CONNECTIONS = 8
_WARM_AIMS = {"NGINX with sendfile": "0.8", "a stand-in for the old stack": "6 × the real one"}
_COLD_FILES = 10
_COLD_SIZE = 1_000_000
_COLD_RATE = 200_000
_SLOW_SECONDS = 20.0
_PROBE_RATE = 50


def warm() -> Iterator[Row]:
    """Compare a file on the shelf with NGINX and with Twisted's own server of files."""
    with Stage() as stage:
        ours = servers.metro(stage, servers.upstream(stage, f"--build=warm={_WARM}").url)
        url, _ = ours.build("warm")
        path = stage.file(f"files{urlsplit(url).path}", get(url))
        subjects = [_subject("the server", url, ours.program)]
        missing = []
        for start in (_nginx, _static, _old):
            try:
                subjects.append(start(stage, path))
            except SkipTest as reason:
                missing.append(Row(work="", result=f"not compared: {reason}"))
        alternate(stage, *subjects)
        mine, *others = subjects
        speed = f"{mine.rate:,.0f}/s, {mine.rate * _WARM / 1e6:,.0f} MB/s"
        yield Row(work="4 MiB file on the shelf, 8 connections", result=speed)
        for other in others:
            aim = _WARM_AIMS.get(other.name, "")
            yield Row(
                work="",
                result=mine.over(other),
                aim=aim,
                reached=mine.ratio(other) >= 0.8 if aim == "0.8" else None,
            )
        yield from missing


def _nginx(stage: Stage, path: Path) -> Subject:
    program = servers.nginx_files(stage, path.parent)
    return _subject("NGINX with sendfile", f"{program.url}/{path.name}", program)


def _static(stage: Stage, path: Path) -> Subject:
    program = servers.bare(stage, "file", path)
    return _subject("twisted.web.static.File", f"{program.url}/{path.name}", program)


def _old(stage: Stage, path: Path) -> Subject:
    front, workers = servers.old_stack(stage, path, path)
    return _subject(
        "a stand-in for the old stack", f"{front.url}/releases/{path.name}", front, workers
    )


def _subject(name: str, url: str, *programs: Program) -> Subject:
    return Subject(name=name, url=url, programs=programs, connections=_CONNECTIONS)


def cold() -> Iterator[Row]:
    """Let 50 phones ask for one file that takes 10 s to come from its origin."""
    with Stage() as stage:
        origin = servers.upstream(stage, f"--build=cold={_COLD}", f"--slow=cold={_ORIGIN_RATE}")
        ours = servers.metro(stage, origin.url)
        url, direct = ours.build("cold")
        yield from _crowd(stage, "50 phones, one cold 20 MB file", url, direct, origin, aims=True)
    with Stage() as stage:
        origin = servers.upstream(stage, f"--build=cold={_COLD}", f"--slow=cold={_ORIGIN_RATE}")
        try:
            cache = servers.varnish(stage, origin.url)
        except SkipTest as reason:
            yield Row(work="the same through Varnish", result=f"not compared: {reason}")
            return
        url = cache.url + urlsplit(direct).path
        direct = origin.url + urlsplit(direct).path
        yield from _crowd(stage, "the same through Varnish", url, direct, origin, aims=False)


def _crowd(
    stage: Stage, work: str, url: str, direct: str, origin: Program, *, aims: bool
) -> Iterator[Row]:
    told = stage.start_module("crowd", url, direct).result(90)
    origin.stop()
    asked = json.loads(origin.log.rpartition("fetched ")[2])
    # The crowd fetches it once more itself, to know how long that takes.
    fetches = asked[urlsplit(direct).path] - 1
    worst, median, last = told["worst"], told["median"], told["last"]
    yield Row(
        work=work,
        result=f"{fetches} fetch; {told['right']} of {told['phones']} have the right bytes",
        aim="1 fetch" if aims else "",
        reached=(fetches == 1 and told["right"] == told["phones"]) if aims else None,
    )
    yield Row(
        work="",
        result=f"first byte after {worst:.3f} s at worst = {worst / told['fill']:.4f} × the fill; "
        f"median {median:.3f} s",
        aim="0.1 s" if aims else "",
        reached=worst < 0.1 if aims else None,
    )
    yield Row(
        work="",
        result=f"the {told['early']} that came during the fill done within {last:.3f} × the fill",
        aim="1.05" if aims else "",
        reached=last <= 1.05 if aims else None,
    )


def slow() -> Iterator[Row]:
    """Hold 1,000 slow readers, and fetch cold files beside them; ask for the list meanwhile."""
    with Stage() as stage:
        builds = [f"--build=warm={_WARM}"]
        builds += [f"--build=cold-{number}={_COLD_SIZE}" for number in range(_COLD_FILES)]
        ours = servers.metro(
            stage, servers.upstream(stage, *builds, f"--slow=cold-*={_COLD_RATE}").url
        )
        get(ours.build("warm")[0])
        alone = _probe(stage, ours, 5)
        cold_files = [ours.build(f"cold-{number}") for number in range(_COLD_FILES)]
        urls = [url for url, _ in cold_files]
        readers = stage.start_module(
            "readers", ours.build("warm")[0], *urls, f"--seconds={_SLOW_SECONDS}"
        )
        readers.ready(lambda: "connected" in readers.log)
        beside = _probe(stage, ours, _SLOW_SECONDS - 2)
        peak = ours.program.memory("VmHWM")
        told = readers.result(60)
        # The same builds, from where there is no limit to the speed.
        quick = servers.upstream(stage, *builds)
        for url, direct in cold_files:
            right = hashlib.sha256(get(quick.url + urlsplit(direct).path)).hexdigest()
            if told["digests"].get(url) != right:
                raise Failed(f"{url}: wrong bytes")
        yield Row(
            work="1,000 readers at 2 KB/s, 200 cold requests",
            result=f"{peak:.0f} MB resident at most; {told['fed']} readers fed, "
            f"{told['right']} of 200 have the right bytes",
            aim="150 MB",
            reached=peak < 150 and told["fed"] == 1000 and told["right"] == 200,
        )
        yield Row(
            work="",
            result=f"99 % of the lists within {1000 * beside:.1f} ms = "
            f"{beside / alone:.1f} × the same without them",
            aim="50 ms",
            reached=beside < 0.05,
        )


def _probe(stage: Stage, ours: servers.Server, seconds: float) -> float:
    options = ("--connections=4", f"--rate={_PROBE_RATE}", f"--seconds={seconds}")
    told = stage.start_module("generator", ours.url + PATH, *options).result(60)
    if told["errors"]:
        raise Failed(f"{told['errors']} lists did not come")
    return float(told["p99"])
