"""What the rules of the workflow ask of a grid: inputs and params of jobs, by their wildcards."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latentgen import analyses, datasets, incomplete, versions
from latentgen.analysis import INTERVENTIONS, Analysis
from latentgen.caption import restructured
from latentgen.figures import catalogue
from latentgen.grid import Cell, Grid, Run, parts, present
from latentgen.grid.asked import asked

#: Places of a run and of a cell among the results, and of the logs of a cell's jobs.
OF_RUN = "{dataset}/{model}/{noise}-{level}/{run}"
OF_CELL = "{dataset}/{model}/{noise}-{level}/{seeds}"


def log(analysis: Analysis, folder: str, ending: str) -> str:
    """File beside the results of a job of an analysis, below ``folder``."""
    stem = f"/{analysis.stem}" if analysis.stem else ""
    return f"results/{folder}/{analysis.name}/{OF_CELL}{stem}.{ending}"


class Plan:
    """A grid, as rules ask for it. Methods take ``wildcards``, and an ``output`` where the answer is for no record.

    What depends on an output is not kept in the record of a job that decides about reruns.

    Parameters
    ----------
    exists : whether a result is there; with it tables and figures are made of what is there alone, and nothing that is
        missing is made. Nothing that is missing is then an input, so no failed job is tried again
    """

    def __init__(self, grid: Grid, exists: Callable[[str], bool] | None = None):
        self.grid = grid
        self.partial = exists is not None
        self.gathered, self._missing = present(grid, exists) if exists else (grid, {})

    # A cell

    def cell(self, wildcards: Any) -> Cell:
        return self.grid.cell(wildcards.dataset, wildcards.model, wildcards.noise, wildcards.level, wildcards.seeds)

    def runs(self, wildcards: Any) -> list[dict[str, Any]]:
        return [run.columns() for run in self.cell(wildcards).runs]

    def model(self, wildcards: Any) -> Mapping[str, Any]:
        return self.cell(wildcards).declared_model

    def validation(self, wildcards: Any) -> float:
        return self.cell(wildcards).settings["validation"]

    def training(self, wildcards: Any) -> Mapping[str, Any]:
        return self.cell(wildcards).settings["training"]

    def saved_epochs(self, wildcards: Any) -> list[int]:
        return self.cell(wildcards).saved_epochs

    def code_of_network(self, wildcards: Any) -> Any:
        """What a user's network is made of, in words, for the reason that a dry run gives when it has changed.

        It is in the recipe's hash already. Of a shipped network there is nothing to say, and an ellipsis is not
        recorded.
        """
        model = self.model(wildcards)
        if "network_code" not in model:
            return ...
        files = ", ".join(f"{file} {digest}" for file, digest in model["network_code"].items())
        return f"network code of {model['factory']}: {files}"

    def asked_of_models(self, wildcards: Any) -> dict[str, dict[str, Any]]:
        return asked(self.grid.cells, wildcards.dataset)

    # A run

    def _cell_of_run(self, wildcards: Any) -> tuple[Cell, Run]:
        place = (wildcards.dataset, wildcards.model, wildcards.noise, wildcards.level, wildcards.run)
        return self.grid.cell_of_run(*place)

    def index_of_run(self, wildcards: Any) -> str:
        return f"{self._cell_of_run(wildcards)[0].path}/checkpoints.json"

    def model_of_run(self, wildcards: Any) -> Mapping[str, Any]:
        return self._cell_of_run(wildcards)[0].declared_model

    def columns_of_run(self, wildcards: Any) -> dict[str, Any]:
        return self._cell_of_run(wildcards)[1].columns()

    # Data

    def declared_dataset(self, wildcards: Any) -> Mapping[str, Any] | None:
        return self.grid.config["datasets"].get(wildcards.dataset)

    def files_of_data(self, wildcards: Any) -> list[str]:
        """A declared data set's file, or the folders of its classes, whose time stamps tell of new images."""
        declared = self.declared_dataset(wildcards)
        if declared is None or "npz" in declared:
            return [declared["npz"]] if declared else []
        return sorted(str(path) for path in datasets.class_folders(Path(declared["folder"])))

    def version_of_data(self, wildcards: Any) -> Any:
        return datasets.version(self.declared_dataset(wildcards))

    def name_of_data(self, wildcards: Any, output: Any) -> str:
        """What tells data sets apart in Snakemake's cache between workflows, which knows params but no wildcards."""
        return Path(output.meta).parent.name

    # An analysis

    def params(self, analysis: Analysis) -> dict[str, Any]:
        """Params of its rule: what rows are made from and inputs do not say, but for where they compute."""

        def settings(wildcards):
            return analysis.of_job(self.cell(wildcards).settings_of(analysis, wildcards))

        def version(wildcards):
            return versions.of_job(analysis, settings(wildcards), self.cell(wildcards).settings)

        def of_entry(say):
            return lambda wildcards: say(self.cell(wildcards).settings)

        more = {name: of_entry(say) for name, say in analysis.more.items()}
        said = {"runs": self.runs, "model": self.model, "settings": settings, "version": version}
        return {"analysis": analysis.name, **said, **more}

    def all_probes_are_in(self, wildcards: Any, output: Any) -> bool:
        """Whether a family is all that the grid has, so that without rows of it there would be no result.

        What else a grid has changes nothing in these rows.
        """
        families = {family for cell in self.grid.cells for family in cell.families}
        return len(self.grid.models) == 1 and families == {wildcards.family}

    # Tables

    def parts_of_table(self, wildcards: Any) -> list[str]:
        """Files of all cells that make up one table.

        Raises ``LookupError`` when there are none.
        """
        table = wildcards.table
        found = [path for cell in self.gathered.cells for path in parts(cell).get(table, [])]
        if not found and table in self._missing:
            raise LookupError(f"partial_results: no run is there with all its files of {table}; leave the key out")
        if not found:
            where = f"under '{INTERVENTIONS}'" if table in analyses.INTERVENING else "to one"
            raise LookupError(f"no entry of the grid has {table}; add it {where}")
        return found

    def parts_of_all_tables(self, wildcards: Any) -> list[str]:
        """What is there of all tables, where that is not the whole grid.

        Each job looks anew at what is there. Until all of it is up to date, a file may be away that is made again.
        """
        cells = self.gathered.cells if self.partial else []
        return [path for cell in cells for paths in parts(cell).values() for path in paths]

    def missing_from_table(self, wildcards: Any) -> dict[str, Any]:
        return self._missing.get(wildcards.table, {})

    def missing_runs(self, wildcards: Any, output: Any) -> str:
        """What captions say of runs that are missing."""
        return incomplete.sentence(*incomplete.together(self._missing.values()))

    def headline_tables(self) -> list[str]:
        return _gathered(["probes", "history", *catalogue.interventions(self.gathered.cells)])

    def models_of_data(self) -> dict[str, list[str]]:
        """Models that are trained on each data set."""
        cells = self.gathered.cells
        return {data: sorted({cell.model for cell in cells if cell.dataset == data}) for data in self.gathered.datasets}

    def data_files(self) -> list[str]:
        return [f"results/data/{dataset}/meta.json" for dataset in self.gathered.datasets]

    def accepted_models(self) -> list[str]:
        # A refused network is missing from partial results, which say so.
        return [] if self.partial else [f"results/models/{dataset}.txt" for dataset in self.grid.datasets]

    # Figures

    def figure_files(self) -> list[str]:
        """Figures that the grid has everything for."""
        return [f"results/figures/{figure}.pdf" for figure in catalogue.available(self.gathered.cells)]

    def tables_of_figure(self, wildcards: Any) -> list[str]:
        return _gathered(catalogue.tables(wildcards.figure, self.gathered.cells))

    def settings_of_figure(self, wildcards: Any) -> Mapping[str, Any]:
        """What figures of probes know of them; another figure is not drawn again when a probe changes."""
        drawn_from = catalogue.tables(wildcards.figure, self.gathered.cells)
        return self.gathered.probes if analyses.PROBES.name in drawn_from else {}

    def models_of_figure(self, wildcards: Any) -> Mapping[str, Any]:
        """What figures that compare models know of them."""
        return self.gathered.models if catalogue.FIGURES[wildcards.figure].compares_models else {}

    def caption(self, wildcards: Any, output: Any) -> str:
        """The caption that was written with the figure, for the report; empty before that."""
        written = Path(output.md)
        return restructured(written.read_text(encoding="utf-8")) if written.exists() else ""

    def labels_of_figure(self, wildcards: Any) -> dict[str, str]:
        return {"figure": wildcards.figure, "shows": catalogue.FIGURES[wildcards.figure].title}


def _gathered(tables: list[str]) -> list[str]:
    return [f"results/tables/{table}.parquet" for table in tables]
