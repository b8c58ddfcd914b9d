"""What figures are drawn from: the tables of a grid, and what its configuration says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from latentgen.analyses import TABLES

#: Columns that no figure shows, which frames may lack: hashes, most of a table's bytes, and margins of probes.
UNUSED = ("entry", "inputs", "margin")

_LABELS = {
    **{"masc": "MASC", "velpic": "VeLPIC", "logistic": "logistic regression", "nearest_mean": "nearest mean"},
    **{"lda": "LDA", "qda": "QDA", "knn": "nearest neighbours"},
}


@dataclass(frozen=True)
class Results:
    """Tables of a grid as data frames, and what the configuration says of them; made by `of`.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        Tables by name, as `latentgen.analyses.TABLES` has them, but for columns `UNUSED`; each is an attribute too,
        such as ``results.probes``. A table that the grid lacks is empty.
    settings : mapping of str to mapping
        Settings of each probe by its name, defaults filled in: ``kind, fit_labels, batch_norm, ...``.
    models : mapping of str to mapping
        ``factory`` and ``options`` of each model by its name.
    chance : mapping of str to float
        Accuracy of guessing, a fraction, by data set.
    headline : DataFrame, optional
        What `latentgen.summary.headline` makes of the tables, where it is known without them.
    """

    frames: Mapping[str, pd.DataFrame]
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
        unknown = sorted(set(frames) - set(TABLES))
        if unknown:
            raise ValueError(f"no figure is drawn from a table {unknown[0]!r}; there are {', '.join(TABLES)}")
        for name, frame in frames.items():
            missing = [column for column in TABLES[name].schema.names if column not in frame and column not in UNUSED]
            if missing:
                raise ValueError(f"the {name} table lacks the columns {', '.join(missing)}; make it anew")
        empty = {name: table.schema.empty_table().to_pandas() for name, table in TABLES.items()}
        declared = {"settings": settings or {}, "models": models or {}, "chance": chance or {}}
        return cls(empty | dict(frames), **declared, headline=headline)

    def replaced(self, **changes: Any) -> "Results":
        """The same with other tables, or with another of the fields, by name."""
        frames = {name: changes.pop(name) for name in set(changes) & set(TABLES)}
        return replace(self, frames={**self.frames, **frames}, **changes)

    def __getattr__(self, name: str) -> pd.DataFrame:
        try:
            return self.__dict__["frames"][name]
        except KeyError:
            raise AttributeError(f"results have no table {name!r}; there are {', '.join(TABLES)}") from None


def kept(probe: Mapping[str, Any]) -> str:
    """What a probe of kind MASC keeps, in words; ``probe`` : its settings."""
    if probe["n_axes"] is not None:
        return "one axis" if probe["n_axes"] == 1 else f"{probe['n_axes']} axes"
    return f"{100 * probe['variance']:g} % of variance"


def masc_keeps(settings: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Sentence on the probe named MASC, of the settings of all probes; none where those are not known."""
    probe = settings.get("masc", {})
    return (f"MASC keeps {kept(probe)} for each class.",) if {"n_axes", "variance"} <= set(probe) else ()


def probe_label(name: str) -> str:
    """What figures call the probe of this name; a name of the reader's own has spaces for underscores."""
    return _LABELS.get(name, name.replace("_", " "))
