"""What an analysis of trained networks says of itself, once.

Configuration, rules, tables, documents and the estimate take it from here; `latentgen.analyses` lists all of them.
Imports nothing that computes.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from latentgen import keys
from latentgen.columns import Table
from latentgen.keys import Key

if TYPE_CHECKING:
    import pyarrow as pa

    from latentgen.trained import TrainedCell

#: Settings of an analysis with all defaults filled in, and the settings of a whole entry of the grid.
Settings = Any
Entry = Mapping[str, Any]

#: Where analyses that change networks or labels stand in an entry; all others are keys of it.
INTERVENTIONS = "interventions"


class Pilot(Protocol):
    """A short training whose checkpoints analyses are measured on, see `latentgen.estimate.analyses`."""

    #: Epochs that it kept.
    kept: Sequence[int]

    def last(self, n: int) -> "TrainedCell":
        """Its cell with but the last ``n`` checkpoints."""

    def rows(self, analysis: "Analysis", settings: Settings, n: int) -> "pa.Table":
        """Rows of an analysis for the last ``n`` checkpoints."""

    def per_checkpoint(self, call: Callable[[int], Any]) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds and bytes of the units of `per_checkpoint`, from calls with numbers of checkpoints."""


class Again(NamedTuple):
    """Trainings of a job that follow on the first: how many, for how many epochs.

    ``passes`` over the training set are made before, or, where ``family`` names one, fits of that family of probes.
    """

    trainings: int
    epochs: int
    passes: int
    family: str | None = None


def per_checkpoint(_settings: Settings, runs: int, epochs: Sequence[int], _last: int) -> dict[str, int]:
    """Units of a job that does the same for every checkpoint."""
    return {"fixed": runs, "each": runs * len(epochs)}


@dataclass(frozen=True)
class Cost:
    """What an estimate counts and measures.

    Parameters
    ----------
    units : of (settings, runs, epochs that the job handles, last epoch): how often a job pays for each unit that a
        pilot measures, see `latentgen.estimate.work`
    measure : "module:function" of a pilot's analyses and settings, where the units are not those of `per_checkpoint`
    again : of (entry, runs, wildcards): trainings of a job, for an analysis that trains
    """

    units: Callable[[Settings, int, Sequence[int], int], dict[str, int]] = per_checkpoint
    measure: str | None = None
    again: Callable[[Entry, int, Mapping[str, str]], Again] | None = None


def loaded(entry: str) -> Callable[..., Any]:
    """What a declaration names as "module:function", imported now."""
    module, _, function = entry.partition(":")
    return getattr(importlib.import_module(module), function)


def _nothing(*_) -> tuple:
    return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Analysis:
    """One analysis: a key of an entry, a rule, a table.

    Parameters
    ----------
    name : of its key in an entry, its table and its folder
    about : what it does, a line without a full stop
    table : see `latentgen.columns.Table`
    files : path of a job's rows below the folder of its cell, with what tells jobs apart in braces: ``block``,
        ``epoch`` (out of its setting ``epochs``), ``family``
    rows : "module:function" that makes them: called with a `latentgen.trained.TrainedCell`, the settings, the wildcards
        in ``files`` (``block``, ``epoch``), ``inputs``, ``more`` and ``told`` by name, and ``kept`` if it keeps rows
    keys : its settings. Without any its key is true or false, but for what ``values`` says
    values, fill : JSON schema of its value, and what fills in its defaults, where ``keys`` cannot say it
    intervention : whether its key stands under ``interventions``
    kept : whether rows whose inputs are the same are kept when a job runs again
    packages : those whose ``VERSION`` counts, the one that raises most first
    methods : of (settings, entry): for packages that have them, methods whose ``VERSIONS`` count
    errors : of (settings, entry, saved epochs): what is wrong, texts from the key on; where there is ``fill``, settings
        have no defaults yet
    layers : of settings: names that must be layers of the model, by key below its own
    readout : whether it needs the network's readout
    inputs : files of a job besides those of the trained cell
    more : of an entry: what a job needs of it besides the settings, by name
    told : names of params that its rule has besides
    rule : name of its rule, where that is another
    cost : for the estimate
    """

    name: str
    about: str
    table: Table
    files: str
    rows: str
    keys: tuple[Key, ...] = ()
    values: Mapping[str, Any] = field(default_factory=lambda: {"type": "boolean"})
    fill: Callable[[Settings], Settings] | None = None
    intervention: bool = False
    kept: bool = False
    packages: tuple[str, ...]
    methods: Callable[[Settings, Entry], Mapping[str, Iterable[str]]] = lambda _settings, _entry: {}
    errors: Callable[[Settings, Entry, set[int]], Iterable[str]] = _nothing
    layers: Callable[[Settings], Mapping[str, list[str]]] = lambda _settings: {}
    readout: bool = False
    inputs: tuple[str, ...] = ()
    more: Mapping[str, Callable[[Entry], Any]] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    rule: str = ""
    cost: Cost = Cost()

    @property
    def key(self) -> str:
        """Its key in an entry, as messages name it."""
        return f"{INTERVENTIONS}.{self.name}" if self.intervention else self.name

    @property
    def wildcards(self) -> list[str]:
        """Those that tell jobs of a cell apart."""
        return re.findall(r"{(\w+)}", self.files)

    @property
    def stem(self) -> str:
        """Name of a job's log below the folder of its rule and cell; empty where a cell has one job."""
        inner = self.files.removesuffix(".parquet").removeprefix(self.name).removeprefix("/")
        return inner.replace("/", "-")

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of its value in an entry."""
        values = keys.schema(self.keys) | {"type": ["object", "null"]} if self.keys else self.values
        return {"description": self.about, **values}

    def given(self, entry: Entry) -> Settings | None:
        """Its value in an entry, None where the entry lacks it."""
        value = (entry[INTERVENTIONS] if self.intervention else entry).get(self.name)
        return None if value is False else value

    def complete(self, given: Settings) -> Settings:
        """Its value in an entry with defaults filled in."""
        if given is None:
            return None
        if self.fill:
            return self.fill(given)
        return keys.complete(self.keys, given) if self.keys else given

    def of_job(self, settings: Settings) -> Settings:
        """What a job is given of its settings: not what other jobs of the cell there are."""
        if "epoch" in self.wildcards:
            return {key: value for key, value in settings.items() if key != "epochs"}
        return settings

    def wrong(self, entry: Entry, saved: set[int]) -> Iterable[str]:
        """What is wrong with its value in an entry whose types a schema has checked, texts that start at the key."""
        given = self.given(entry)
        if given is None:
            return
        settings = given if self.fill else self.complete(given)
        if missing := keys.lacking(self.keys, settings):
            yield f".{self.key}: needs {missing[0]}"
            return
        yield from (f".{self.key}{error}" for error in self.errors(settings, entry, saved))

    def named(
        self,
        folder: Path,
        output: str,
        wildcards: Mapping[str, str],
        inputs: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What `run` is called with in a job of Snakemake, from what Snakemake tells a script.

        ``folder`` : of the cell
        """
        found = {name: wildcards[name] for name in self.wildcards if name != "family"}
        found |= {name: inputs.get(name) or None for name in self.inputs}
        found |= {name: params[name] for name in (*self.more, *self.told)}
        if self.kept:
            # Snakemake deletes an output before it is made again: a copy beside training's kept state outlives it.
            found["kept"] = folder / "partial" / Path(output).relative_to(folder)
        return found

    def run(self, cell: "TrainedCell", settings: Settings, **named: Any) -> "pa.Table":
        """Rows of one job; what computes is imported now."""
        return loaded(self.rows)(cell, settings, **named)
