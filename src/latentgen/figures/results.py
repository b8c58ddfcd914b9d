"""What figures are drawn from: the tables of a grid, and what its configuration says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from latentgen import tables

#: Schemas of the tables that figures are drawn from, by name.
SCHEMAS = {
    "probes": tables.PROBES,
    "history": tables.HISTORY,
    "transfer": tables.TRANSFER,
    "edit": tables.EDIT,
    "relabel": tables.RELABEL,
    "geometry": tables.GEOMETRY,
    "rewind": tables.REWIND,
    "gradients": tables.GRADIENTS,
    "maps": tables.MAPS,
    "layers": tables.LAYERS,
}

#: Columns that no figure shows, which frames may lack: hashes, most of a table's bytes, and margins of probes.
UNUSED = ("entry", "inputs", "margin")

_LABELS = {"masc": "MASC", "velpic": "VeLPIC", "logistic": "logistic regression"}


@dataclass(frozen=True)
class Results:
    """Tables of a grid as data frames, and what the configuration says of them; made by `of`.

    Parameters
    ----------
    probes, history, transfer, edit, relabel, geometry, rewind, gradients, maps, layers : DataFrame
        Columns of the schemas of these names in `latentgen.tables`, but for `UNUSED`; a table that the grid lacks is
        empty.
    settings : mapping of str to mapping
        Settings of each probe by its name, defaults filled in: ``kind, fit_labels, batch_norm, ...``.
    models : mapping of str to mapping
        ``factory`` and ``options`` of each model by its name.
    chance : mapping of str to float
        Accuracy of guessing, a fraction, by data set.
    headline : DataFrame, optional
        What `latentgen.summary.headline` makes of the tables, where it is known without them.
    """

    probes: pd.DataFrame
    history: pd.DataFrame
    transfer: pd.DataFrame
    edit: pd.DataFrame
    relabel: pd.DataFrame
    geometry: pd.DataFrame
    rewind: pd.DataFrame
    gradients: pd.DataFrame
    maps: pd.DataFrame
    layers: pd.DataFrame
    settings: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]
    chance: Mapping[str, float]
    headline: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        frames: Mapping[str, pd.DataFrame],
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        models: Mapping[str, Mapping[str, Any]] | None = None,
        chance: Mapping[str, float] | None = None,
        headline: pd.DataFrame | None = None,
    ) -> "Results":
        """Results of the tables ``frames``, by name; those not there are empty, with their columns.

        Raises ``ValueError`` where a table is unknown or lacks a column.
        """
        unknown = sorted(set(frames) - set(SCHEMAS))
        if unknown:
            raise ValueError(f"no figure is drawn from a table {unknown[0]!r}; there are {', '.join(SCHEMAS)}")
        for name, frame in frames.items():
            missing = [column for column in SCHEMAS[name].names if column not in frame and column not in UNUSED]
            if missing:
                raise ValueError(f"the {name} table lacks the columns {', '.join(missing)}; make it anew")
        empty = {name: schema.empty_table().to_pandas() for name, schema in SCHEMAS.items()}
        declared = {"settings": settings or {}, "models": models or {}, "chance": chance or {}}
        return cls(**(empty | dict(frames)), **declared, headline=headline)


def probe_label(name: str) -> str:
    """What figures call the probe of this name."""
    return _LABELS.get(name, name)
