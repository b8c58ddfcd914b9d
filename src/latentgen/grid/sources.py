"""Modules of model factories: where Python would find them, and what can be known of them without running any code."""

import ast
import functools
import importlib.metadata
import importlib.util
import json
import pkgutil
import site
import sysconfig
import warnings
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from latentgen.spelling import allowed

#: What a module does when it may define names that its text does not show.
_DYNAMIC = {"__getattr__", "globals", "vars", "locals", "exec", "eval", "setattr", "modules", "__dict__"}


def find(module: str) -> ModuleSpec | None:
    """Where Python would find ``module``, or None. Neither it nor its parent packages are imported."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top) if top else None
    except (ImportError, ValueError):
        return None
    for name in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = _within(f"{spec.name}.{name}", spec.submodule_search_locations)
    return spec


def _within(module: str, folders: Iterable[str]) -> ModuleSpec | None:
    """``module`` as the path of its package has it. `importlib.util.find_spec` would import the package."""
    portions = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        spec = finder.find_spec(module) if finder is not None else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec and spec.submodule_search_locations) or []
    if not portions:
        return None
    namespace = ModuleSpec(module, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def text(spec: ModuleSpec) -> str | None:
    """Source of a module, or None where there is none, as for compiled code and for namespaces."""
    try:
        return spec.loader.get_source(spec.name)
    except (AttributeError, ImportError, OSError, SyntaxError, UnicodeError):
        return None


def parsed(source: str) -> ast.Module:
    """Syntax tree of ``source``; raises ``SyntaxError`` or ``ValueError``. Warnings are passed over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def version(spec: ModuleSpec) -> tuple[str, str] | None:
    """Name and version of the distribution that a module was installed from, or None: then its source tells it apart.

    One that was installed from a folder of this machine (PEP 610) may change without its version.
    """
    if spec.origin is None or not any(Path(spec.origin).is_relative_to(folder) for folder in _installed()):
        return None
    for name in _distributions().get(spec.name.partition(".")[0], ()):
        distribution = importlib.metadata.distribution(name)
        if "dir_info" not in json.loads(distribution.read_text("direct_url.json") or "{}"):
            return distribution.name, distribution.version
    return None


@functools.cache
def _installed() -> list[Path]:
    paths = sysconfig.get_paths()
    folders = {paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()}
    return [Path(folder) for folder in folders]


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def errors(factory: str, options: Mapping[str, Any]) -> Iterable[str]:
    """What is surely wrong with ``module:function`` called with ``options``: texts that start at the key.

    Whatever Python might import is accepted: a name is refused only where the module's text rules it out, an option
    only where a function stands there as it will be called.
    """
    importlib.invalidate_caches()
    module, _, function = factory.partition(":")
    function = function.partition(".")[0]
    spec = find(module)
    if spec is None:
        if not _may_add_modules(module):
            yield f"factory: module {module!r} is not found; install it, or put its folder on PYTHONPATH"
        return
    source = text(spec)
    if source is None:
        return
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError) as error:
        yield f"factory: module {module!r} cannot be read: {error}"
        return
    bound = _bound(tree)
    if bound is None:
        return
    if function not in bound:
        yield f"factory: module {module!r} has no {function!r}; {allowed(function, _offered(tree))}"
        return
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    if len(functions) == 1 == bound.count(function) and not functions[0].decorator_list:
        arguments = functions[0].args
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][2:]
        names += [argument.arg for argument in arguments.kwonlyargs]
        for option in options if arguments.kwarg is None else ():
            if option not in names:
                yield f"options.{option}: unknown option of {factory!r}; {allowed(option, names)}"


def _may_add_modules(module: str) -> bool:
    """Whether a package above ``module`` may hold it although no file of it does, as ``os`` holds ``os.path``."""
    parents = [find(module.rsplit(".", times)[0]) for times in range(1, module.count(".") + 1)]
    sources = [text(spec) for spec in parents if spec is not None and spec.loader is not None]
    return any(source is None or "modules" in source or "__path__" in source for source in sources)


def _bound(tree: ast.Module) -> list[str] | None:
    """Names that a module may bind anywhere, once for each time; None where its text does not show all."""
    names: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return None
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name) if name in _DYNAMIC:
                return None
            case ast.Import() | ast.ImportFrom():
                names += [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.append(name)
            case ast.MatchMapping(rest=str(name)):
                names.append(name)
    return names


def _offered(tree: ast.Module) -> list[str]:
    """Names that a user may have meant: what the module itself defines, or else what it imports."""
    defined, imported = [], []
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.append(name)
            case ast.ImportFrom():
                imported += [alias.asname or alias.name for alias in node.names]
            case ast.Assign(targets=targets):
                parts = [part for target in targets for part in ast.walk(target)]
                defined += [part.id for part in parts if isinstance(part, ast.Name)]
    public = [name for name in defined or imported if not name.startswith("_")]
    return list(dict.fromkeys(public)) or ["nothing: the module is empty"]
