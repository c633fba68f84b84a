"""What a result was computed with: a hash of source files that changes when what they compute may have changed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path


def hash_of(files: Iterable[Path], checks: bool = True) -> str:
    """Hash of source files without comments, docstrings, layout, and what only refuses an input.

    A statement that raises, and an ``if`` that does nothing else, changes no answer; nor does an import that only they
    use. Without `checks`, nor does a function that returns nothing and in which nothing is left but names given to
    values, with the statements that call it.

    Parameters
    ----------
    files : iterable of Path
    checks : bool
        Whether functions that only refuse count.

    Returns
    -------
    str
        16 hexadecimal digits.

    Examples
    --------
    >>> import metastrata.appraisal.sources as this
    >>> len(hash_of([Path(this.__file__)]))
    16
    """
    digest = hashlib.sha256()
    for path in files:
        tree = _Answers().visit(ast.parse(path.read_text(encoding="utf-8")))
        tree = tree if checks else _Checks(_only_checks(tree)).visit(tree)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        digest.update(ast.dump(_Imports(used).visit(tree)).encode())
    return digest.hexdigest()[:16]


class _Answers(ast.NodeTransformer):
    """Takes out docstrings and refusals."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """The node with what is left of its parts."""
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            del body[0]
        return node

    def visit_Raise(self, node: ast.Raise) -> None:
        """Nothing is left of a raise."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """An if that only raised is gone."""
        self.generic_visit(node)
        return node if node.body or node.orelse else None


def _only_checks(tree: ast.Module) -> set[str]:
    """Names of the functions of which only names for values, and loops over nothing, are left."""

    def idle(part: ast.stmt) -> bool:
        if isinstance(part, ast.Assign):
            return all(isinstance(target, ast.Name) for target in part.targets)
        return isinstance(part, ast.For) and not part.body

    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and all(map(idle, node.body))}


class _Checks(ast.NodeTransformer):
    """Takes out functions that only refuse, and the statements that call them."""

    def __init__(self, names: set[str]):
        self.names = names

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        """A function that does more."""
        return None if node.name in self.names else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """A statement that does more than to call one."""
        call = node.value
        idle = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in self.names
        return None if idle else node


class _Imports(ast.NodeTransformer):
    """Takes out imports of names that are not used."""

    def __init__(self, used: set[str]):
        self.used = used

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """The import of what is used."""
        node.names = [name for name in node.names if (name.asname or name.name) in self.used]
        return node if node.names else None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
