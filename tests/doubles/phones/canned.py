"""A server that is not there: answers made up by a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.doubles.phones.answers import Answer

Request = tuple[str, str, dict[str, str], bytes]
"""Method, URL, headers and body."""


class Canned:
    """An `Exchange` that gives its answers one by one, the last one for ever; functions make them.

    An exception in place of an answer is raised.
    """

    def __init__(self, *answers: Answer | Exception | Callable[[Request], Answer]) -> None:
        """Take the answers."""
        self._answers = list(answers)
        self.requests: list[Request] = []

    async def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        timeout: float,
        version: str = "HTTP/1.1",
        stop_after: int | None = None,
    ) -> Answer:
        """See `Exchange.request`."""
        self.requests.append((method, url, dict(headers), body))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, Answer):
            answer = answer(self.requests[-1])
        if stop_after is None or stop_after > len(answer.body):
            return answer
        return replace(answer, body=answer.body[:stop_after], complete=False)
