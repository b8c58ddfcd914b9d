"""Versions that the rows of an analysis are known by, and that the params of its rule name: one list for both.

A package's ``VERSION`` stands for all of its methods, the ``VERSIONS`` of some packages for each method alone. The
latter are named only where they were raised, so that rows of the other methods, and those from before there were such
versions, stay known.
"""

import importlib
from collections.abc import Iterable, Mapping

from latentgen.analysis import Analysis, Entry, Settings

#: Version of a method that has not been raised.
FIRST = 1


def of(analysis: Analysis, methods: Mapping[str, Iterable[str]]) -> list:
    """Versions of all that an analysis uses, with those of the ``methods`` of some packages.

    Raised ones are pairs of method and version, in the order of packages, sorted within each.
    """
    found: list = [_package(name).VERSION for name in analysis.packages]
    for name, used in methods.items():
        versions = _package(name).VERSIONS
        found += [[method, versions[method]] for method in sorted(set(used)) if versions[method] > FIRST]
    return found


def of_job(analysis: Analysis, settings: Settings, entry: Entry) -> list:
    """Versions of a job that has these settings, in an entry of the grid."""
    return of(analysis, analysis.methods(settings, entry))


def _package(name: str):
    return importlib.import_module(f"latentgen.{name}")
