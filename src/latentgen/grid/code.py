"""The code that makes a user's network: what decides whether results that were computed with it still hold.

It is found in the text of modules, without running any of it: from the factory on, every definition that another one
names, through the imports, and whatever a module does when it is imported. Comments, docstrings and layout do not
count, nor do definitions that nothing names. Where names do not tell what is used (``globals()``, ``eval``, modules
imported by computed names, …), all modules count whole.
"""

import ast
import hashlib
import importlib
import pkgutil
import sys
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import PurePath
from typing import Any

from latentgen.grid import sources

#: Packages that are not named: this one has versions of its own, and shipped networks do not name torch's either.
_NOT_NAMED = {"latentgen", "torch", "numpy", *sys.stdlib_module_names}
#: Names, and attributes, in whose presence no list of names tells what is used.
_DYNAMIC_NAMES = {"globals", "locals", "vars", "eval", "exec", "compile", "__import__", "import_module", "inspect"}
_DYNAMIC_ATTRIBUTES = {"import_module", "__dict__", "__subclasses__", "__path__", "walk_packages", "iter_modules"}


def identity(factory: str) -> dict[str, str]:
    """What ``module:function`` is made of: equal where the same network is made.

    Returns
    -------
    file → first 12 digits of a SHA-256 of what counts of it, and installed package → version, in order of the alphabet.
    Files are named from the folder in which Python looks for them.
    """
    importlib.invalidate_caches()
    module, _, function = factory.partition(":")
    reached = _Reached()
    reached.execute(module)
    reached.use(module, function.partition(".")[0])
    reached.follow()
    while reached.dynamic and reached.add_everything():
        reached.follow()
    return reached.digests()


class _Module:
    """A module of the user's own, by what its statements do."""

    def __init__(self, spec: ModuleSpec):
        self.name, self.locations = spec.name, spec.submodule_search_locations
        file = PurePath(spec.origin)
        depth = spec.name.count(".") + (2 if file.stem == "__init__" else 1)
        self.file = PurePath(*file.parts[-depth:]).as_posix()
        source = sources.text(spec)
        try:
            self.tree = sources.parsed(source) if source is not None else None
        except (SyntaxError, ValueError):
            self.tree = None
        # What cannot be read as Python counts as it is.
        self.raw = spec.loader.get_data(spec.origin) if self.tree is None else b""
        self.statements = self.tree.body if self.tree is not None else []

    @cached_property
    def definitions(self) -> dict[str, list[ast.stmt]]:
        """Statements that do nothing but define a name, by that name."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.statements:
            for name in _defined(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def always(self) -> list[ast.stmt]:
        """Statements that count as soon as the module is imported."""
        return [
            statement
            for statement in self.statements
            if not _defined(statement) and not isinstance(statement, ast.Import | ast.ImportFrom)
        ]

    @cached_property
    def imported(self) -> dict[str, list[tuple[str, str | None]]]:
        """The modules, and names in them (None: the module itself), that names of this one may come from."""
        found: dict[str, list[tuple[str, str | None]]] = {}
        for node in ast.walk(self.tree) if self.tree is not None else ():
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    found.setdefault(name, []).append((alias.name if alias.asname else name, None))
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found.setdefault(alias.asname or alias.name, []).append((self.source_of(node), alias.name))
        return found

    def source_of(self, node: ast.ImportFrom) -> str:
        """Absolute name of the module that ``from … import`` takes names from."""
        if not node.level:
            return node.module
        parts = self.name.split(".") + ([""] if self.locations is not None else [])
        return ".".join([*parts[: -node.level], *([node.module] if node.module else [])])


class _Reached:
    """Everything that has been found to count so far."""

    def __init__(self):
        self.dynamic = False
        self._modules: dict[str, _Module | None] = {}
        self._versions: dict[str, str] = {}
        self._executed: set[str] = set()
        self._used: set[tuple[str, str]] = set()
        self._pending: list[tuple[str, str]] = []
        self._whole: set[str] = set()
        self._counted: dict[int, ast.stmt] = {}

    def digests(self) -> dict[str, str]:
        """What `identity` returns."""
        found = dict(self._versions)
        for name in self._executed:
            module = self._modules[name]
            counted = [part for part in module.statements if id(part) in self._counted]
            content = [_canonical(part) for part in counted if not _is_text(part)]
            content += sorted(
                [used, *map(str, origin)]
                for used, origins in module.imported.items()
                if (name, used) in self._used or used == "*" or name in self._whole
                for origin in origins
            )
            if module.raw or content:
                found[module.file] = hashlib.sha256(module.raw + repr(content).encode()).hexdigest()[:12]
        return dict(sorted(found.items()))

    def execute(self, name: str) -> None:
        """Count what happens when the module ``name`` is imported, its parent packages first."""
        if "." in name:
            self.execute(name.rpartition(".")[0])
        module = self._own(name)
        if module is None or name in self._executed:
            return
        self._executed.add(name)
        for statement in module.statements:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(module, statement)
        for statement in module.always:
            self._count(module, statement)

    def use(self, name: str, attribute: str) -> None:
        """Note that ``attribute`` of the module ``name`` counts; `follow` finds what it stands for."""
        if (name, attribute) not in self._used:
            self._used.add((name, attribute))
            self._pending.append((name, attribute))

    def follow(self) -> None:
        """Count what all names that are used stand for."""
        while self._pending:
            name, attribute = self._pending.pop()
            module = self._own(name)
            if module is None:
                self._name_version(name)
                continue
            self.execute(f"{name}.{attribute}")
            for statement in module.definitions.get(attribute, ()):
                self._count(module, statement)
            for target, imported in module.imported.get(attribute, ()):
                if imported is not None:
                    self.use(target, imported)
            if attribute not in module.definitions:
                for target, _ in module.imported.get("*", ()):
                    self.use(target, attribute)

    def add_everything(self) -> bool:
        """Count whole all modules that are reached, and those beside them in their packages; whether there were any."""
        left = self._executed - self._whole
        for name in left:
            self._use_whole(name)
            for beside in pkgutil.iter_modules(self._modules[name].locations or []):
                self.execute(f"{name}.{beside.name}")
        return bool(left)

    def _use_whole(self, name: str) -> None:
        module = self._own(name)
        if module is None:
            self._name_version(name)
        elif name not in self._whole:
            self._whole.add(name)
            self.execute(name)
            for statement in module.statements:
                self._count(module, statement)

    def _count(self, module: _Module, statement: ast.stmt) -> None:
        if id(statement) in self._counted:
            return
        self._counted[id(statement)] = statement
        nodes = list(ast.walk(statement))
        of_attributes = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        for node in nodes:
            match node:
                case ast.Import() | ast.ImportFrom():
                    self._import(module, node)
                case ast.Attribute():
                    self._attribute(module, node)
                case ast.Name(id=name):
                    self.dynamic |= name in _DYNAMIC_NAMES
                    self.use(module.name, name)
                    if id(node) not in of_attributes:
                        # A module that is handed on: nobody can tell what is taken from it.
                        for target in self._behind(module, name):
                            self._use_whole(target)
                case ast.Global(names=names):
                    for name in names:
                        self.use(module.name, name)
                case ast.ClassDef(keywords=[_, *_]) | ast.FunctionDef(name="__init_subclass__"):
                    self.dynamic = True
                case ast.FunctionDef(name="__getattr__"):
                    self.dynamic |= statement is node

    def _attribute(self, module: _Module, node: ast.Attribute) -> None:
        """``a.b.c``, where ``a`` may be a module: what is used of it, or of modules below it."""
        self.dynamic |= node.attr in _DYNAMIC_ATTRIBUTES
        chain = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return
        self.dynamic |= (node.id, chain[0]) == ("sys", "modules")
        for target in self._behind(module, node.id):
            for attribute in chain:
                self.use(target, attribute)
                target = f"{target}.{attribute}"
                if self._own(target) is None:
                    break

    def _behind(self, module: _Module, name: str) -> list[str]:
        """Modules that ``name`` may stand for."""
        found = []
        for target, imported in module.imported.get(name, ()):
            whole = target if imported is None else f"{target}.{imported}"
            if imported is None or self._own(whole) is not None:
                found.append(whole)
        return found

    def _import(self, module: _Module, node: ast.Import | ast.ImportFrom) -> None:
        """Count what an import statement executes."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.execute(alias.name)
            return
        target = module.source_of(node)
        self.execute(target)
        for alias in node.names:
            self.execute(f"{target}.{alias.name}")

    def _own(self, name: str) -> _Module | None:
        """The module ``name`` where its text is what tells it apart."""
        if name not in self._modules:
            spec = None if name.partition(".")[0] in _NOT_NAMED else sources.find(name)
            known = spec is None or spec.origin is None or spec.loader is None or sources.version(spec) is not None
            self._modules[name] = None if known else _Module(spec)
        return self._modules[name]

    def _name_version(self, name: str) -> None:
        top = name.partition(".")[0]
        spec = sources.find(top) if top not in _NOT_NAMED else None
        if spec is not None and (found := sources.version(spec)) is not None:
            self._versions[found[0]] = found[1]


def _defined(statement: ast.stmt) -> list[str]:
    """Names that ``statement`` binds, if it does nothing else; none otherwise."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name] if _inert(statement) else []
        case ast.Assign(targets=targets, value=value):
            names = [part for target in targets for part in ast.walk(target)]
            simple = all(isinstance(part, ast.Name | ast.Tuple | ast.List | ast.expr_context) for part in names)
            return [part.id for part in names if isinstance(part, ast.Name)] if simple and not _calls(value) else []
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return [name] if value is None or not _calls(value) else []
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return [""]
    return []


def _inert(statement: ast.stmt) -> bool:
    """Whether a definition calls nothing while it is executed, so that without it all else would be the same."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            defaults = [*statement.args.defaults, *statement.args.kw_defaults]
            return not statement.decorator_list and not any(_calls(node) for node in defaults if node is not None)
        case ast.ClassDef():
            parts = [part for part in statement.body if not isinstance(part, ast.FunctionDef)]
            return not statement.decorator_list and not statement.keywords and all(map(_defined, parts))
    return False


def _calls(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Call | ast.Await) for part in ast.walk(node))


def _canonical(node: Any) -> Any:
    """A syntax tree without positions, contexts, docstrings and empty fields, which depend on the version of Python."""
    if isinstance(node, ast.AST):
        skipped = ("ctx", "kind", "type_comment")
        fields = [(name, _canonical(value)) for name, value in ast.iter_fields(node) if name not in skipped]
        return [type(node).__name__, *(field for field in fields if field[1] not in ("None", []))]
    if isinstance(node, list):
        return [_canonical(part) for part in node if not _is_text(part)]
    return repr(node)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
