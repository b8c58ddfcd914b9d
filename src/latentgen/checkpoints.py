"""The index of a cell's checkpoints: which epochs each run kept, where it stopped, and what the weights hash to."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentgen import digests

#: Name of the index in the folder of a cell.
INDEX = "checkpoints.json"


@dataclass(frozen=True)
class Checkpoint:
    """Weights of one run after one epoch. ``sha256`` is of the file's bytes, as the cell's index has it."""

    run: Mapping[str, Any] = field(hash=False)
    epoch: int
    path: Path
    sha256: str

    def read(self) -> bytes:
        """Bytes of the weights' file; raises `latentgen.digests.Damaged` when they are not what training wrote."""
        folder = self.path.parent.parent.parent
        return digests.read(self.path, self.sha256, str(folder / INDEX), _remedy(folder, self.path.parent.name))

    def dump_folder(self, target: str | os.PathLike) -> Path:
        """Folder of this checkpoint below a folder of dumps."""
        return Path(target) / self.path.parent.name / self.path.stem


def run_name(run: Mapping[str, Any]) -> str:
    """Name of a run within its cell, for example ``data0-model0``."""
    return f"data{run['data_seed']}-model{run['model_seed']}"


def block_epochs(block: str) -> range:
    """Epochs of a block such as ``0000-0099``, both ends included."""
    first, last = block.split("-")
    return range(int(first), int(last) + 1)


def in_epochs(
    folder: str | os.PathLike, runs: Iterable[Mapping[str, Any]], epochs: Iterable[int] | None
) -> list[Checkpoint]:
    """Checkpoints of ``runs`` (columns of each) in the cell ``folder`` that fall into ``epochs``, None for all."""
    index, wanted = _index(folder), None if epochs is None else set(epochs)
    found = []
    for run in runs:
        name = run_name(run)
        for epoch, sha256 in index[name]["sha256"].items():
            if wanted is None or int(epoch) in wanted:
                path = Path(folder) / "checkpoints" / name / f"epoch-{int(epoch):04d}.safetensors"
                found.append(Checkpoint(run, int(epoch), path, sha256))
    return found


def at_epoch(folder: str | os.PathLike, run: Mapping[str, Any], epoch: int) -> Checkpoint:
    """The checkpoint of one run after ``epoch``.

    Raises ``LookupError`` when the run stopped before, naming where, or did not keep that epoch.
    """
    found = in_epochs(folder, [run], [epoch])
    if found:
        return found[0]
    name = run_name(run)
    entry = _index(folder)[name]
    if epoch > entry["last_epoch"]:
        raise LookupError(
            f"run {name} in {folder} stopped after epoch {entry['last_epoch']}; there is no epoch {epoch}"
        )
    kept = ", ".join(entry["sha256"])
    raise LookupError(f"run {name} in {folder} kept no weights of epoch {epoch}; add it to saved_epochs (kept: {kept})")


def last_epoch(folder: str | os.PathLike, run: Mapping[str, Any]) -> int:
    """The epoch after which the training of one run stopped."""
    return _index(folder)[run_name(run)]["last_epoch"]


def _index(folder: str | os.PathLike) -> dict:
    path = Path(folder) / INDEX
    try:
        index = json.loads(path.read_text())
        # The last epoch is always kept.
        for name, run in index.items():
            if max(map(int, run["sha256"])) != run["last_epoch"]:
                raise ValueError(f"the last epoch of {name} is not the last one that it kept")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise digests.Damaged(f"{path} is damaged: {error}. {_remedy(Path(folder), '*')}") from error
    return index


def _remedy(folder: Path, run: str) -> str:
    return f"Call 'rm -r {folder / 'partial' / run} {folder / INDEX}', then Snakemake again, which trains that run anew"
