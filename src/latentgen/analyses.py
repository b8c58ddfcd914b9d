"""All analyses, in the order of tables and documents. Imports nothing that computes."""

from collections.abc import Iterable, Mapping
from typing import Any

from latentgen import columns
from latentgen.analysis import INTERVENTIONS, Analysis
from latentgen.columns import Table
from latentgen.embeddings.declaration import EMBEDDINGS
from latentgen.geometry.declaration import GEOMETRY
from latentgen.gradients.declaration import GRADIENTS
from latentgen.interventions.declaration import EDIT, RELABEL, REWIND, TRANSFER
from latentgen.probes.declaration import PROBES

ALL: tuple[Analysis, ...] = (PROBES, GEOMETRY, GRADIENTS, EMBEDDINGS, TRANSFER, EDIT, RELABEL, REWIND)

#: Names of those that change networks or labels, in the order of the headline.
INTERVENING = tuple(analysis.name for analysis in ALL if analysis.intervention)

NAMED: dict[str, Analysis] = {analysis.name: analysis for analysis in ALL}

#: Tables of a whole grid that are gathered from its cells, by name.
GATHERED: dict[str, Table] = {"history": columns.HISTORY, **{analysis.name: analysis.table for analysis in ALL}}

#: Tables that figures are drawn from, by name.
TABLES: dict[str, Table] = {**GATHERED, "layers": columns.LAYERS}


def of_entry(settings: Mapping[str, Any]) -> list[tuple[Analysis, Any]]:
    """Analyses that an entry has, each with its settings."""
    given = [(analysis, analysis.given(settings)) for analysis in ALL]
    return [(analysis, mine) for analysis, mine in given if mine is not None]


def complete(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry says of analyses, with defaults filled in."""
    given = entry[INTERVENTIONS]
    others = [analysis for analysis in ALL if not analysis.intervention]
    return {
        **{analysis.name: analysis.complete(entry[analysis.name]) for analysis in others},
        INTERVENTIONS: {name: NAMED[name].complete(settings) for name, settings in given.items()},
    }


def schemas() -> dict[str, Any]:
    """JSON schemas of the keys of an entry that belong to analyses."""
    changes = {analysis.name: analysis.schema for analysis in ALL if analysis.intervention}
    interventions = {
        "description": "what is done to the trained networks or their labels; `null` drops one that the defaults have",
        "type": "object",
        "additionalProperties": False,
        "properties": changes,
    }
    others = {analysis.name: analysis.schema for analysis in ALL if not analysis.intervention}
    return {**others, INTERVENTIONS: interventions}


def without(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """An entry's settings without the analyses of these names."""
    names = set(names)
    kept = {name: value for name, value in settings[INTERVENTIONS].items() if name not in names}
    absent = {analysis.name: None for analysis in ALL if analysis.name in names and not analysis.intervention}
    return {**settings, INTERVENTIONS: kept, **absent}
