"""The labels table of a cell: which label each training example has, was given, and in which split it is."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from latentgen import noise, tables


def draw(true: np.ndarray, n_classes: int, runs: Sequence[Mapping[str, Any]], validation: float) -> pa.Table:
    """Rows of `latentgen.tables.LABELS` for every data seed among ``runs``, in order of seed, then example.

    The column ``model_seed`` is -1: labels do not depend on it. ``true`` : (n,) labels of the training set.

    Raises ``ValueError`` when nothing is held out although ``validation`` is not 0, or all examples of a class are.
    """
    parts = []
    for run in {run["data_seed"]: run for run in runs}.values():
        given, selected = noise.corrupt(true, run["level"], run["noise"], n_classes, run["data_seed"])
        held = noise.hold_out(len(true), validation, run["data_seed"])
        if validation:
            _check_held_out(true, held, validation, run["data_seed"])
        constant = {**run, "model_seed": -1}
        columns = {name: pa.array([value] * len(true), tables.RUN.field(name).type) for name, value in constant.items()}
        columns |= {
            "index": np.arange(len(true)),
            "true_label": true,
            "given_label": given,
            "selected": selected,
            "split": np.where(held, "validation", "train"),
        }
        parts.append(pa.table(columns, schema=tables.LABELS))
    return pa.concat_tables(parts)


def _check_held_out(true: np.ndarray, held: np.ndarray, validation: float, seed: int) -> None:
    if not held.any():
        raise ValueError(f"validation: {validation!r} holds out none of {len(true):,} training examples; 0 says so")
    if lost := sorted(set(np.unique(true).tolist()) - set(np.unique(true[~held]).tolist())):
        raise ValueError(
            f"validation: {validation!r} leaves {len(true) - held.sum():,} of {len(true):,} training examples, and of "
            f"{len(lost)} classes none (data seed {seed}; the first is class {lost[0]}); hold out less"
        )


@dataclass(frozen=True)
class RunLabels:
    """Labels of one run: ``given`` and ``true`` (n,) int64, ``train`` and ``validation`` sorted indices into them.

    ``selected`` : (n,) bool, whether an example was drawn for corruption, perhaps keeping its label by luck

    ``digest`` is a SHA-256 over given labels and splits.
    """

    given: np.ndarray
    true: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    selected: np.ndarray

    @classmethod
    def read(cls, path: str | os.PathLike, data_seed: int) -> "RunLabels":
        """Labels of ``data_seed`` from a cell's labels.parquet.

        Raises ``ValueError`` when they are not there, `latentgen.digests.Damaged` when the file is not whole.
        """
        # Rows are chosen after all are read: statistics that would let some be skipped have no checksum.
        table = tables.load(path, tables.LABELS).filter(pc.field("data_seed") == data_seed)
        if not len(table):
            raise ValueError(f"{path} has no labels of data seed {data_seed}")
        held = np.array(table["split"].to_pylist()) == "validation"
        given, true = (np.array(table[f"{kind}_label"].to_numpy()) for kind in ("given", "true"))
        selected = np.array(table["selected"].to_numpy(zero_copy_only=False))
        return cls(given, true, np.flatnonzero(~held), np.flatnonzero(held), selected)

    @property
    def digest(self) -> str:
        """Identity of what training and probes are fitted on."""
        digest = hashlib.sha256(np.ascontiguousarray(self.given))
        digest.update(np.ascontiguousarray(self.validation))
        return digest.hexdigest()
