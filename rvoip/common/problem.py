"""Errors of an HTTP API as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from rvoip.common.printable import shorten

__all__ = ["HTTPError", "PROBLEM_TYPE", "Problem"]

PROBLEM_TYPE: Final = "application/problem+json"

_DETAIL_LIMIT: Final = 500


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer of 400 and above."""

    title: str
    """The status in words."""
    status: int
    type: str = "about:blank"
    """A URI that names the kind of problem; `about:blank` when the status says it all."""
    detail: str = ""
    """What is wrong with this request, for a reader."""
    instance: str = ""
    """A URI for this one occurrence: where the server failed, `urn:uuid:` and the id that its log has."""


class HTTPError(Exception):
    """A handler answers with this status and problem.

    `detail` is shown to the caller: no secrets and nothing of the server's inside.
    """

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        type: str = "about:blank",
        instance: str = "",
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = shorten(detail, _DETAIL_LIMIT)
        self.headers = dict(headers or {})
        self.type = type
        self.instance = instance

    @property
    def problem(self) -> Problem:
        """The body of the answer."""
        return Problem(_title(self.status), self.status, self.type, self.detail, self.instance)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
