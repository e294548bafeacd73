"""Reading the configuration again, by HTTP: `/v1/reload`."""

from __future__ import annotations

from typing import Protocol

import msgspec

from rvoip.common.http import API, Call
from rvoip.common.problem import HTTPError
from rvoip.services.callers import OPERATIONS_WRITE
from rvoip.services.role import Reloaded

__all__ = ["Reload", "serve_reload"]


class Reload(msgspec.Struct, frozen=True):
    """A configuration that was taken over."""

    file: str
    restart: list[str]
    """Keys that have changed and are in force only after a restart."""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for says it all. That it is JSON keeps the pages of a browser from asking for it."""


class _Reloads(Protocol):
    def reload(self) -> Reloaded: ...


def serve_reload(api: API, role: _Reloads) -> None:
    """Add `/v1/reload`."""

    @api.route("POST", "/v1/reload", body=Nothing, response=Reload, scopes=(OPERATIONS_WRITE,))
    def reload_configuration(call: Call, body: Nothing) -> Reload:
        """Read the configuration again, as with SIGHUP.

        With a broken one nothing changes: 409 says what is wrong with it.
        """
        done = role.reload()
        if done.trouble:
            raise HTTPError(409, done.trouble)
        return Reload(done.file, list(done.later))
