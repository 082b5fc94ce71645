import ast
import re
from statistics import median

import pytest

from tests.architecture.source import Module, modules

CEILING = 400
MEDIAN = 150

every_module = pytest.mark.parametrize("module", modules(), ids=lambda m: m.name)


@every_module
def test_no_module_is_longer_than_the_ceiling(module: Module) -> None:
    assert module.lines <= CEILING


def test_half_of_the_modules_fit_on_two_screens() -> None:
    assert median(m.lines for m in modules() if not m.is_package) <= MEDIAN


@every_module
def test_a_module_says_what_it_is_in_its_first_sentence(module: Module) -> None:
    said = ast.get_docstring(module.tree)
    assert said is not None
    if not module.is_package:
        assert said.startswith("This module is "), said.splitlines()[0]


@every_module
def test_what_is_public_is_listed_and_what_is_listed_is_there(module: Module) -> None:
    listed = _listed(module.tree)
    public = _public(module.tree)
    if not public and listed is None:
        return
    assert listed is not None, "has public names and no __all__"
    assert public <= set(listed), f"not in __all__: {sorted(public - set(listed))}"
    there = _bound(module.tree) if module.is_package else _defined(module.tree)
    assert set(listed) <= there, f"in __all__, defined elsewhere: {sorted(set(listed) - there)}"


@every_module
def test_nothing_is_caught_broadly_and_nothing_is_pickled(module: Module) -> None:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and not _passes_it_on(node):
            caught = "" if node.type is None else ast.unparse(node.type)
            assert not re.search(r"\bException\b|\bBaseException\b|^$", caught), (
                f"line {node.lineno}: except {caught}"
            )
        if isinstance(node, ast.Import):
            roots = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots = {(node.module or "").partition(".")[0]}
        else:
            continue
        assert not roots & {"pickle", "dill", "cloudpickle", "shelve", "marshal"}


@every_module
def test_nothing_is_left_to_do(module: Module) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", module.text)


def _passes_it_on(handler: ast.ExceptHandler) -> bool:
    """Clean up and raise again: nothing is hidden."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _listed(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if value is not None and any(ast.unparse(t) == "__all__" for t in targets):
            names: list[str] = ast.literal_eval(value)
            return names
    return None


def _public(tree: ast.Module) -> set[str]:
    """Functions and classes. Constants are tuned where they stand; listing one is a choice."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {
        node.name
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not _is_command(node)
    }


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """A command is public on the command line, not to importers."""
    used = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(".command(" in text or ".callback(" in text for text in used)


def _defined(tree: ast.Module) -> set[str]:
    names = _public(tree)
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.AnnAssign):
            names.add(ast.unparse(node.target))
    return names


def _bound(tree: ast.Module) -> set[str]:
    # Also what only type checkers import: the front door loads it when it is asked for.
    told = [node for part in tree.body if isinstance(part, ast.If) for node in part.body]
    imported = {
        alias.asname or alias.name
        for node in (*tree.body, *told)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return _defined(tree) | imported
