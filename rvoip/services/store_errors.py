"""What goes wrong in a store, as the API says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.logger import Logger

from rvoip.common.problem import HTTPError
from rvoip.registrar import errors as location
from rvoip.users import errors as users

__all__ = ["store_errors"]

_log = Logger()


@contextmanager
def store_errors() -> Iterator[None]:
    """Answer 404 for what is unknown, 409 for what exists, 400 for what is not acceptable.

    A store that is busy, or cannot do what it should, is 503 with Retry-After; why, is for the log.
    """
    try:
        yield
    except users.UnknownAccount as error:
        raise HTTPError(404, error.reason) from None
    except users.DuplicateAccount as error:
        raise HTTPError(409, error.reason) from None
    except users.AccountError as error:
        raise HTTPError(400, error.reason) from None
    except (users.StoreBusy, location.StoreBusy) as error:
        raise _unavailable("the store is busy", error.reason, 1) from None
    except (users.StoreError, location.StoreError) as error:
        raise _unavailable("the store does not work", error.reason, 5) from None


def _unavailable(detail: str, reason: str, seconds: int) -> HTTPError:
    _log.warn("The API found a store unavailable: {reason}", reason=reason)
    return HTTPError(503, detail, headers={"Retry-After": str(seconds)})
