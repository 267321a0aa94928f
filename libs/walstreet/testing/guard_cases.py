"""Owns reading, from a test's source, the first values of its parametrized cases: the names of the guards it tries."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def case_names(tree: ast.Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, ...]:
    """Return the first values of the cases of a parametrized test, without repetition.

    Understood are lists and tuples of tuples, names of such tables in the same module, stars, and a comprehension
    ``[case for case in TABLE if "key" not in case[1]]``. Anything else yields no name, and the guard lacks its test.
    """
    tables = {
        target.id: assigned.value
        for assigned in tree.body
        if isinstance(assigned, ast.Assign)
        for target in assigned.targets
        if isinstance(target, ast.Name)
    }
    names: dict[str, None] = {}
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parametrize":
            for case in _cases(decorator.args[1], tables):
                first = case.elts[0] if case.elts else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    names[first.value] = None
    return tuple(names)


def _cases(node: ast.expr, tables: dict[str, ast.expr]) -> Iterator[ast.Tuple]:
    match node:
        case ast.Name():
            if node.id in tables:
                yield from _cases(tables[node.id], tables)
        case ast.List() | ast.Tuple():
            for item in node.elts:
                if isinstance(item, ast.Starred):
                    yield from _cases(item.value, tables)
                elif isinstance(item, ast.Tuple):
                    yield item
        case ast.ListComp():
            left_out = [_left_out(test) for generator in node.generators for test in generator.ifs]
            for found in _cases(node.generators[0].iter, tables):
                if None not in left_out and not any(_has_key(found, str(key)) for key in left_out):
                    yield found
        case _:
            return


def _left_out(test: ast.expr) -> str | None:
    """Return the key that ``"key" not in case[1]`` names, None for any other condition."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.NotIn) and isinstance(test.left, ast.Constant):
        return str(test.left.value)
    return None


def _has_key(case: ast.Tuple, key: str) -> bool:
    changes = case.elts[1] if len(case.elts) > 1 else None
    return isinstance(changes, ast.Dict) and any(
        isinstance(item, ast.Constant) and item.value == key for item in changes.keys
    )
