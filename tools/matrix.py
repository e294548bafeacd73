"""The import matrix as a contract for import-linter.

The contract reads the code block named `matrix` in docs/architecture.md, so that the page that people read
is the rule that is checked. A line says

    PACKAGE, PACKAGE -> PACKAGE, PACKAGE never EXTERNAL    # remark

A package may import what its line names and what those packages may import in turn. `(nothing)` names
nothing, `anything` everything, `interfaces` the `interfaces` module of any package; what follows `never` are
packages of others. A package with no folder is not checked; a folder with no line breaks the contract.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

_BLOCK = re.compile(r"^```\{code-block\}[^\n]*\n:name: matrix\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ANYTHING = "anything"
_INTERFACES = "interfaces"
_NOTHING = "(nothing)"


class MatrixError(Exception):
    """The page has no matrix, or a line of it cannot be read."""


class Row(NamedTuple):
    """What one package may import: packages of ours, closed over their own rows, and none of `never`."""

    allowed: frozenset[str]
    never: frozenset[str]


def _names(text: str) -> list[str]:
    return [name for name in text.replace(",", " ").split() if name]


def read_matrix(page: str) -> dict[str, Row]:
    """Read the rows of the matrix out of the text of the page; raises MatrixError."""
    block = _BLOCK.search(page)
    if block is None:
        raise MatrixError("the page has no code block with `:name: matrix`")
    named: dict[str, tuple[list[str], list[str]]] = {}
    for line in block[1].splitlines():
        rule = line.partition("#")[0].strip()
        if not rule:
            continue
        left, arrow, right = rule.partition("->")
        packages, (may, _, never) = _names(left), right.partition(" never ")
        allowed = [] if may.strip() == _NOTHING else _names(may)
        if not (arrow and packages and (allowed or may.strip() == _NOTHING)):
            raise MatrixError(f"cannot read the line: {rule}")
        for package in packages:
            if package in named:
                raise MatrixError(f"{package} has two lines")
            named[package] = (allowed, _names(never))
    for package, (allowed, _) in named.items():
        if unknown := set(allowed) - named.keys() - {_ANYTHING, _INTERFACES}:
            raise MatrixError(f"{package} names {', '.join(sorted(unknown))}, which has no line")
    return {name: Row(_closure(name, named), frozenset(never)) for name, (_, never) in named.items()}


def _closure(package: str, named: dict[str, tuple[list[str], list[str]]]) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(named[package][0])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += named[name][0] if name in named else []
    return frozenset(seen)


def offences(matrix: dict[str, Row], graph: ImportGraph, root: str) -> list[str]:
    """Say, one line each, which imports inside `root` (and out of it, for `never`) the matrix forbids."""
    found = []
    for module in sorted(m for m in graph.modules if m == root or m.startswith(root + ".")):
        package = _package(module, matrix, root)
        row = matrix.get(package)
        if row is None:
            if not _is_bare(module, graph, matrix, root):
                found.append(f"{module}: its package has no line in the matrix")
            continue
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if not _permitted(package, row, imported, matrix, root):
                details = graph.get_import_details(importer=module, imported=imported)
                where = ", ".join(sorted({str(detail["line_number"]) for detail in details}))
                found.append(f"{module} (line {where}) may not import {imported}")
    return found


def _permitted(package: str, row: Row, imported: str, matrix: dict[str, Row], root: str) -> bool:
    if imported != root and not imported.startswith(root + "."):
        return imported.partition(".")[0] not in row.never
    target = _package(imported, matrix, root)
    return (
        target == package
        or imported == root
        or _ANYTHING in row.allowed
        or target in row.allowed
        or (_INTERFACES in row.allowed and imported.endswith("." + _INTERFACES))
    )


def _package(module: str, matrix: dict[str, Row], root: str) -> str:
    """The longest name of the matrix that holds the module, else the module's own first folder."""
    path = module.removeprefix(root).removeprefix(".").split(".")
    for length in range(len(path), 0, -1):
        if ".".join(path[:length]) in matrix:
            return ".".join(path[:length])
    return path[0]


def _is_bare(module: str, graph: ImportGraph, matrix: dict[str, Row], root: str) -> bool:
    """Whether the module only holds packages of the matrix, and imports nothing itself."""
    path = module.removeprefix(root).removeprefix(".")
    holds = module == root or any(name.startswith(path + ".") for name in matrix)
    ours = (m for m in graph.find_modules_directly_imported_by(module) if m.partition(".")[0] == root)
    return holds and not any(ours)


class MatrixContract(Contract):
    """Every import of `root` is one that the matrix in `page` (a path from the current folder) permits."""

    type_name = "matrix"

    root = fields.StringField()
    page = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        page, root = str(self.page), str(self.root)
        matrix = read_matrix(Path(page).read_text(encoding="utf-8"))
        found = offences(matrix, graph, root)
        return ContractCheck(kept=not found, metadata={"offences": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        metadata: dict[str, Any] = check.metadata
        for line in metadata["offences"]:
            output.print_error(line)
