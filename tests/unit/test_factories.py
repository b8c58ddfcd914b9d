"""Factories of a user's own, before anything of them is imported: which are accepted, and what their code is."""

import subprocess
import sys
from pathlib import Path

import pytest

from latentgen.grid import code, sources

#: Files of a project on the path, of which `nets:make` and `pkg:make` are factories.
PROJECT = {
    "nets.py": """
        import os
        from torch import nn
        from helpers import size
        WIDTH = 3
        UNUSED = 4
        def make(in_shape, n_classes):
            return Net(size(WIDTH), n_classes)
        class Net(nn.Module):
            def __init__(self, width, n_classes):
                super().__init__()
                self.layer = nn.Linear(width, n_classes)
        def spare():
            return UNUSED
    """,
    "helpers.py": """
        def size(n):
            return 2 * n
        def other(n):
            return 3 * n
    """,
    "pkg/__init__.py": "from .made import make\n",
    "pkg/made.py": """
        from . import blocks
        from .deep import shapes as forms
        def make(in_shape, n_classes, **options):
            from .late import head
            return blocks.Block(forms.side(in_shape), head(n_classes))
    """,
    "pkg/blocks.py": "class Block:\n    depth = 2\nclass Spare:\n    depth = 3\n",
    "pkg/late.py": "def head(n):\n    return n\n",
    "pkg/deep/__init__.py": "",
    "pkg/deep/shapes.py": "def side(shape):\n    return shape[1]\n",
    "pkg/unrelated.py": "x = 1\n",
}


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.split("\n")
        indent = 8 if lines[0] == "" else 0
        path.write_text("\n".join(line[indent:] for line in lines))


@pytest.fixture
def project(tmp_path, monkeypatch):
    write(tmp_path, PROJECT)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def replaced(file, old, new):
    return lambda folder: (folder / file).write_text((folder / file).read_text().replace(old, new, 1))


def appended(file, text):
    return lambda folder: (folder / file).write_text((folder / file).read_text() + text)


#: A change of the project, and the files that it makes others of for a factory; none where the same network is made.
CHANGES = [
    ("nets:make", appended("nets.py", "\n\n"), []),
    ("nets:make", appended("nets.py", "# a comment\n"), []),
    ("nets:make", appended("nets.py", "def new(): ...\n"), []),
    ("nets:make", appended("nets.py", "import json\n"), []),
    ("nets:make", replaced("nets.py", "UNUSED = 4", "UNUSED = 5"), []),
    ("nets:make", replaced("nets.py", "    return Net", '    """Say what."""\n    return Net'), []),
    ("nets:make", replaced("nets.py", "Net(size(WIDTH), n_classes)", "Net(size(\n        WIDTH), n_classes)"), []),
    ("nets:make", replaced("helpers.py", "3 * n", "4 * n"), []),
    ("nets:make", replaced("helpers.py", "2 * n", "4 * n"), ["helpers.py"]),
    ("nets:make", replaced("nets.py", "WIDTH = 3", "WIDTH = 4"), ["nets.py"]),
    ("nets:make", replaced("nets.py", "self.layer", "self.other"), ["nets.py"]),
    ("nets:make", replaced("nets.py", "import size", "import other as size"), ["helpers.py", "nets.py"]),
    ("nets:make", appended("nets.py", "Net.bias = True\n"), ["nets.py"]),
    ("nets:make", appended("nets.py", "for one in (1, 2): WIDTH = one\n"), ["nets.py"]),
    ("nets:make", appended("nets.py", "nn.init.zeros_ = nn.init.ones_\n"), ["nets.py"]),
    ("nets:make", appended("nets.py", "@print\ndef new(): ...\n"), ["nets.py"]),
    ("nets:make", appended("nets.py", "class Meta(metaclass=type): ...\n"), ["helpers.py", "nets.py"]),
    ("nets:spare", replaced("nets.py", "WIDTH = 3", "WIDTH = 4"), []),
    ("pkg:make", replaced("pkg/blocks.py", "depth = 2", "depth = 4"), ["pkg/blocks.py"]),
    ("pkg:make", replaced("pkg/blocks.py", "depth = 3", "depth = 4"), []),
    ("pkg:make", replaced("pkg/late.py", "return n", "return n + 1"), ["pkg/late.py"]),
    ("pkg:make", replaced("pkg/deep/shapes.py", "shape[1]", "shape[2]"), ["pkg/deep/shapes.py"]),
    ("pkg:make", replaced("pkg/unrelated.py", "x = 1", "x = 2"), []),
    ("pkg:make", appended("pkg/deep/__init__.py", "print(1)\n"), ["pkg/deep/__init__.py"]),
    ("pkg:make", replaced("pkg/__init__.py", ".made", ".blocks"), ["pkg/__init__.py", "pkg/made.py"]),
]  # fmt: skip


@pytest.mark.parametrize(("factory", "change", "files"), CHANGES, ids=range(len(CHANGES)))
def test_code_is_what_makes_the_network(project, factory, change, files):
    before = code.identity(factory)
    change(project)
    after = code.identity(factory)
    different = {name for name, _ in before.items() ^ after.items()}
    if ".blocks" in (project / "pkg" / "__init__.py").read_text():
        assert set(files) < different  # what it took from the other module is no longer used
    else:
        assert different == set(files)


#: Text of a module, and whether a function that nothing names counts, because names do not tell what is used.
OPAQUE = [
    ("def make(a, b): return globals()['hidden'](a)", True),
    ("def make(a, b): return eval('hidden(a)')", True),
    ("import sys\ndef make(a, b): return getattr(sys.modules[__name__], 'hidden')", True),
    ("import importlib\ndef make(a, b): return importlib.import_module(a).hidden", True),
    ("import opaque\ndef make(a, b): return getattr(opaque, 'hid' + 'den')(a)", True),
    ("class Base:\n    def __init_subclass__(cls): print(cls)\ndef make(a, b): return Base()", True),
    ("from torch import nn\ndef make(a, b): return getattr(nn, a)", False),
    ("class A:\n    def f(self): return getattr(self, 'hidden')\ndef make(a, b): return A().eval()", False),
    ("import opaque\ndef make(a, b): return opaque.other(a)\ndef other(a): return a", False),
]


@pytest.mark.parametrize(("text", "counts"), OPAQUE, ids=range(len(OPAQUE)))
def test_where_names_do_not_tell_everything_counts(tmp_path, monkeypatch, text, counts):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for value in (1, 2):
        (tmp_path / "opaque.py").write_text(f"{text}\ndef hidden(a): return {value}\n")
        found.append(code.identity("opaque:make"))
    assert (found[0] != found[1]) == counts and found[0]


def test_installed_packages_count_by_their_version(project, monkeypatch):
    import torchvision

    write(project, {"with.py": "", "taken.py": "import torchvision\ndef make(a, b): return torchvision.models.x()\n"})
    found = code.identity("taken:make")
    assert found["torchvision"] == torchvision.__version__.partition("+")[0] and len(found) == 2
    assert list(code.identity("torchvision.models:resnet18")) == ["torchvision"]
    assert code.identity("latentgen.models.mlp:mlp") == {}  # has a version of its own


def test_packages_installed_from_a_folder_count_by_their_text(tmp_path, monkeypatch):
    """Their version need not change with them."""
    write(tmp_path, {"mine.py": "def make(a, b): return 1\n", "mine-1.dist-info/METADATA": "Name: mine\nVersion: 1\n"})
    write(tmp_path, {"mine-1.dist-info/top_level.txt": "mine\n", "mine-1.dist-info/RECORD": "mine.py,,\n"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "_installed", lambda: [tmp_path])
    sources._distributions.cache_clear()
    assert code.identity("mine:make") == {"mine": "1"}
    write(tmp_path, {"mine-1.dist-info/direct_url.json": '{"url": "file:///here", "dir_info": {}}'})
    assert list(code.identity("mine:make")) == ["mine.py"]
    sources._distributions.cache_clear()


#: Modules of good factories: whatever Python can import.
GOOD = [
    "from torch.nn import *",
    "try:\n    from fast import make\nexcept ImportError:\n    def make(a, b): ...",
    "make, other = object, object",
    "[make, *rest] = 1, 2, 3",
    "for make in (1, 2): ...",
    "if True:\n    make = object",
    "with open('x') as make: ...",
    "(make := 1)",
    "def __getattr__(name): ...",
    "globals()['make'] = object",
    "globals().update(make=object)",
    "import sys\nsetattr(sys.modules[__name__], 'make', object)",
    "def fill():\n    global make\n    make = object\nfill()",
    "import pkg.made as make",
    "import make.inner",
    "match 1:\n    case make: ...",
    "from functools import cache\n@cache\ndef make(shape, classes, **anything): ...",
    "class make:\n    pass",
    "make: object = object",
    "make += 1",
    "async def make(): ...",
]


@pytest.mark.parametrize("text", GOOD)
def test_whatever_python_can_import_is_accepted(tmp_path, monkeypatch, text):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "good.py").write_text(text + "\n")
    assert list(sources.errors("good:make", {})) == []
    code.identity("good:make")


@pytest.mark.parametrize(
    "factory", ["torchvision.models:mobilenet_v3_small", "torchvision.models:nobody_knows", "os.path:join", "math:sin"]
)
def test_modules_that_take_their_names_from_elsewhere_are_accepted(factory):
    assert list(sources.errors(factory, {"any": 1})) == []


#: Text of a module, factory, options and what the refusal says.
BAD = [
    ("def made(a, b): ...", "bad:make", {}, ["factory: module 'bad' has no 'make'", "did you mean 'made'"]),
    ("", "bad:make", {}, ["has no 'make'", "the module is empty"]),
    ("import torch", "bad:make", {}, ["has no 'make'"]),
    ("def make(a, b): (", "bad:make", {}, ["factory: module 'bad' cannot be read", "never closed"]),
    ("def make(a, b, width=1): ...", "bad:make", {"widht": 1}, ["options.widht: unknown option", "mean 'width'"]),
    ("def make(a, b): ...", "bda:make", {}, ["factory: module 'bda' is not found", "PYTHONPATH"]),
    ("def make(a, b): ...", "bad.inner:make", {}, ["factory: module 'bad.inner' is not found"]),
    ("def make(a, b): ...", ":make", {}, ["factory: module '' is not found"]),
    ("def make(a, b): ...", "..bad:make", {}, ["factory: module '..bad' is not found"]),
]


@pytest.mark.parametrize(("text", "factory", "options", "words"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_imported_is_refused(tmp_path, monkeypatch, text, factory, options, words):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bad.py").write_text(text + "\n")
    (error,) = sources.errors(factory, options)
    for word in words:
        assert word in error


def test_planning_runs_no_code_of_a_factory(tmp_path):
    loud = "raise SystemExit('imported')\n"
    inner = "from . import other\ndef make(a, b): return other.x\n" + loud
    files = {"top/__init__.py": loud, "top/inner.py": inner, "top/other.py": loud, "spaced/deep/nets.py": inner}
    write(tmp_path, files)
    check = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from latentgen.grid import code, sources\n"
        "for name in ('top.inner:make', 'spaced.deep.nets:make', 'torchvision.models:resnet18'):\n"
        "    assert not list(sources.errors(name, {})) and code.identity(name)\n"
        "print({'torch', 'torchvision', 'top', 'spaced'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_code_that_is_moved_stays_the_same(tmp_path, monkeypatch):
    found = []
    for name in ("here", "there"):
        write(tmp_path / name, PROJECT)
        with monkeypatch.context() as patched:
            patched.syspath_prepend(tmp_path / name)
            found.append(code.identity("pkg:make"))
    assert found[0] == found[1] and "pkg/made.py" in found[0] and Path(sys.prefix).name not in str(found[0])
