"""What can be known of a model factory's code without running it."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from latentgen.spelling import allowed


def file_of(module: str) -> Path | None:
    """Source file of ``module``, or None when it is not found or has none. Its parent packages are imported."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def digest(factory: str) -> str:
    """SHA-256 of the module of ``module:function``; modules that it imports are not seen."""
    return hashlib.sha256(file_of(factory.partition(":")[0]).read_bytes()).hexdigest()


def errors(factory: str, options: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with ``module:function`` called with ``options``: texts that start at the key.

    Functions that are defined in the module itself are checked for the options' names; a name that is assigned or
    imported there is accepted as it is.
    """
    module, _, function = factory.partition(":")
    try:
        body = ast.parse(file_of(module).read_text()).body
    except SyntaxError as error:
        yield f"factory: module {module!r} cannot be read: {error}"
        return
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    others = {name for node in body if not isinstance(node, ast.FunctionDef) for name in _names(node)}
    if function in functions:
        arguments = functions[function].args
        names = [argument.arg for argument in (*arguments.args[2:], *arguments.kwonlyargs)]
        for option in options if arguments.kwarg is None else ():
            if option not in names:
                yield f"options.{option}: unknown option of {factory!r}; {allowed(option, names)}"
    elif function not in others:
        yield f"factory: module {module!r} has no {function!r}; {allowed(function, functions)}"


def _names(node: ast.stmt) -> Iterable[str]:
    if isinstance(node, ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
