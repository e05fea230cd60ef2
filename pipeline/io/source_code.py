"""What of the program's own source computes, so that a result can say what code it is of."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

OURS = ("pipeline.", "model.")


def modules_of(roots: Iterable[str], counts: Callable[[str], bool]) -> set[str]:
    """The modules that `roots` import, themselves included, directly or not.

    counts: says of a module's name whether it is followed, so that it and its imports count.
    """
    found: set[str] = set()
    queue = list(roots)
    while queue:
        module = queue.pop()
        if module not in found:
            found.add(module)
            queue += [name for name in imported(module) if counts(name) and _source(name)]
    return found


def imported(module: str) -> set[str]:
    """Every name that a module imports, and what it imports from it: a module, or none."""
    names = set()
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def code_digest(modules: Iterable[str]) -> str:
    """SHA-256 of the code of `modules`.

    What computes nothing does not count: comments, docstrings, in which module and where in it a
    function stands, and how it is imported. So code may move, and be explained, and keeps its
    digest.
    """
    code = {form for module in modules for form in _forms(_source(module))}
    return hashlib.sha256(json.dumps(sorted(code)).encode()).hexdigest()


class _Computing(ast.NodeTransformer):
    """Takes away what computes nothing; `module.name` of ours is `name`, as if imported by name."""

    def __init__(self, tree: ast.AST) -> None:
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = [(f"{node.module}.{alias.name}", alias) for node in imports for alias in node.names]
        ours = [(name, alias) for name, alias in names if name.startswith(OURS)]
        self._modules = {alias.asname or alias.name for name, alias in ours if _source(name)}
        self._renamed = {alias.asname: alias.name for _, alias in ours if alias.asname}

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        self.generic_visit(node)
        return node if node.body else None

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            return ast.Name(node.attr, node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._renamed.get(node.id, node.id), node.ctx)


def _forms(source: str) -> Iterable[str]:
    """The statements of a module, each in a form that no version of Python spells otherwise."""
    tree = ast.parse(source)
    computing = _Computing(tree).visit(tree)
    return (json.dumps(_form(statement)) for statement in computing.body)


def _form(node: Any) -> Any:
    if isinstance(node, list):
        return [_form(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {
        name: _form(value) for name, value in ast.iter_fields(node) if value not in (None, [])
    }
    return [type(node).__name__, fields]


def _source(module: str) -> str:
    """A module's source; nothing where there is no such module (but a class, say)."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # its parent is no package
        return ""
    if spec is None or spec.loader is None:
        return ""
    return spec.loader.get_source(module) or ""  # type: ignore[attr-defined]
