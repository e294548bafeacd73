"""Classes of the operator's own, which the configuration names: `package.Class`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from traceback import extract_tb
from typing import Any

from rvoip.common.errors import ConfigError

__all__ = ["imported", "making", "named_class"]


def named_class(name: str, base: type, file: str, key: str) -> type:
    """The class that a key of the configuration names; `ConfigError` when it is no `base`."""
    found = imported(name, file, key)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(file, key, f"{name!r} is no subclass of {base.__module__}.{base.__name__}")
    return found


def imported(name: str, file: str, key: str) -> Any:
    """What a key of the configuration names, whatever its module does when it is read; or `ConfigError`."""
    module_name, _, class_name = name.rpartition(".")
    with _one_line(f"{name!r} cannot be imported", file, key):
        return getattr(import_module(module_name), class_name)


@contextmanager
def making(name: str, file: str, key: str) -> Iterator[None]:
    """Turn what the class of that name raises while it is made into a `ConfigError`; "" is one of ours."""
    if not name:
        yield
        return
    with _one_line(f"{name!r} cannot be made", file, key):
        yield


@contextmanager
def _one_line(what: str, file: str, key: str) -> Iterator[None]:
    """Code of another may fail in any way, also by leaving the process: that is one line all the same."""
    try:
        yield
    except ConfigError:
        raise
    except SystemExit as error:
        raise ConfigError(file, key, f"{what}: it calls sys.exit({error.code!r}){_where(error)}") from None
    except (ImportError, AttributeError, ValueError, TypeError, SyntaxError) as error:
        raise ConfigError(file, key, f"{what}: {error}") from None
    except Exception as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ConfigError(file, key, f"{what}: {said}{_where(error)}") from None


def _where(error: BaseException) -> str:
    """The line that raised it."""
    frames = extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
