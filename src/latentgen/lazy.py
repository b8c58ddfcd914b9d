"""Packages whose names are loaded on first use, because the modules behind them import torch or pandas."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package; ``homes`` : module that each name comes from, relative to it."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{homes[name]}", package), name)

    def known() -> list[str]:
        return sorted({*vars(importlib.import_module(package)), *homes})

    return get, known
