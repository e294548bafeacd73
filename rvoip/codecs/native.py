"""Shared libraries of C, found and bound when they are first asked for."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from rvoip.codecs.errors import CodecMissing

__all__ = ["Functions", "NativeLibrary", "P"]

P = ctypes.c_void_p
"""A pointer, passed as an int: the address of an array or of a state."""

Functions = Mapping[str, tuple[Any, Sequence[Any]]]
"""The functions of a library: what each gives and what it takes, as ctypes types."""


class NativeLibrary:
    """A shared library that may be absent.

    `needs` says in one line what to install. Calls release the interpreter's lock.
    """

    def __init__(self, names: Sequence[str], functions: Functions, needs: str) -> None:
        self._names = names
        self._functions = functions
        self._needs = needs
        self._loaded: ctypes.CDLL | None = None
        self._trouble = ""

    def candidates(self) -> Sequence[str]:
        """Names or paths that are tried, the first that loads counts."""
        return self._names

    def load(self) -> ctypes.CDLL:
        """The library with its functions bound; raises CodecMissing with one line."""
        if self._loaded is None:
            if not self._trouble:
                self._find()
            if self._loaded is None:
                raise CodecMissing(self._trouble)
        return self._loaded

    def missing(self) -> str:
        """The line of CodecMissing, empty when the library is there."""
        try:
            self.load()
        except CodecMissing as error:
            return str(error)
        return ""

    def _find(self) -> None:
        self._trouble = self._needs
        for name in self.candidates():
            try:
                library = ctypes.CDLL(name)
            except OSError:
                continue
            try:
                for function, (gives, takes) in self._functions.items():
                    bound = getattr(library, function)
                    bound.restype, bound.argtypes = gives, takes
            except AttributeError as error:
                self._trouble = f"{self._needs} ({name} lacks a function: {error})"
                continue
            self._loaded = library
            return
