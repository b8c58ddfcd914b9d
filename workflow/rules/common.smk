"""The grid, and what rules ask of it."""

import gc
import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from latentgen import (
    activations,
    datasets,
    devices,
    figures,
    grid,
    incomplete,
    models,
    noise,
    published,
    training,
    versions,
)
from latentgen.figures import catalogue
from latentgen.grid import copies
from latentgen.grid.asked import asked
from latentgen.models import verdicts

# A plan is a million small objects that all stay. By default Python searches them for garbage again and again as they
# grow, which takes a seventh of the time that a large grid is planned in.
gc.set_threshold(100_000, 50, 100)

RUN = "results/runs/{dataset}/{model}/{noise}-{level}/{run}"
CELL = "results/runs/{dataset}/{model}/{noise}-{level}/{seeds}"
DATA = "results/data/{dataset}"


wildcard_constraints:
    dataset=r"[A-Za-z0-9_.-]+",
    model=r"[A-Za-z0-9_.-]+",
    noise=r"[a-z_]+",
    level=r"[0-9.e-]+",
    seeds=r"data[0-9-]+-(model[0-9-]+|paired)",
    run=r"data[0-9]+-model[0-9]+",
    block=r"[0-9]+-[0-9]+",
    epoch=r"[0-9]+",
    table="history|probes|geometry|gradients|maps|transfer|edit|relabel|rewind",


# As a module of another workflow this one is given its configuration, and the files are the other's.
CONFIGURATION_FILES = [] if workflow.modifier.skip_configfile else workflow.configfiles

try:
    GRID = grid.load(config, workflow.source_path("../schemas/config.schema.yaml"), CONFIGURATION_FILES)
except grid.ConfigError as error:
    raise WorkflowError(str(error)) from None

# Once for a call; jobs plan again.
if workflow.is_main_process:
    for note in copies.notes(GRID.cells):
        logger.warning(note)


def is_there(path):
    """Whether a result lies where the rules look for it, which another workflow may have given a prefix."""
    return os.path.exists(str(workflow.modifier.path_modifier.modify(path)))


# What tables and figures are made of, and the runs that each table lacks: the whole grid and none, unless the
# configuration asks for what is there. Nothing that is missing is then an input, so no failed job is tried again.
PARTIAL = GRID.config["partial_results"]
GATHERED, MISSING = grid.present(GRID, is_there) if PARTIAL else (GRID, {})

DEVICE = GRID.config["device"]
THREADS = GRID.config["threads"]
GPU = 0 if DEVICE == "cpu" else 1
DUMP = GRID.config["activations"] == "dump"

# Jobs inherit it. Not a parameter of theirs: how many share a GPU changes nothing in a result.
os.environ[devices.JOBS_PER_GPU] = str(GRID.config["jobs_per_gpu"])

# What the configuration says of a cell, and of one run in it


def cell(wildcards):
    return GRID.cell(wildcards.dataset, wildcards.model, wildcards.noise, wildcards.level, wildcards.seeds)


def runs_of(wildcards):
    return [run.columns() for run in cell(wildcards).runs]


def model_of(wildcards):
    return cell(wildcards).declared_model


def code_of_network(wildcards):
    """What a user's network is made of, in words, for the reason that a dry run gives when it has changed.

    It is in the recipe's hash already. Of a shipped network there is nothing to say, and an ellipsis is not recorded.
    """
    model = cell(wildcards).declared_model
    if "network_code" not in model:
        return ...
    parts = ", ".join(f"{file} {digest}" for file, digest in model["network_code"].items())
    return f"network code of {model['factory']}: {parts}"


def asked_of_models(wildcards):
    return asked(GRID.cells, wildcards.dataset)


def validation_of(wildcards):
    return cell(wildcards).settings["validation"]


def training_of(wildcards):
    return cell(wildcards).settings["training"]


def saved_epochs_of(wildcards):
    return cell(wildcards).saved_epochs


def family_of(wildcards):
    return cell(wildcards).families[wildcards.family]


def version_of_family(wildcards):
    return versions.of_probes(probe["kind"] for probe in family_of(wildcards).values())


def all_probes_are_in(wildcards, output):
    """Whether a family is all that the grid has, so that without rows of it there would be no result.

    Taken from an output, though it needs none, it is not kept in the record that decides about reruns: what else a grid
    has changes nothing in these rows.
    """
    return len(GRID.models) == 1 and {family for cell in GRID.cells for family in cell.families} == {wildcards.family}


def geometry_of(wildcards):
    return cell(wildcards).settings["geometry"]


def version_of_geometry(wildcards):
    return versions.of_geometry(versions.methods_of_geometry(geometry_of(wildcards)))


def maps_of(wildcards):
    return cell(wildcards).settings["maps"]


def version_of_maps(wildcards):
    return versions.of_maps(maps_of(wildcards)["methods"])


def transfer_of(wildcards):
    return cell(wildcards).settings["interventions"]["transfer"]


def rewind_of(wildcards):
    return cell(wildcards).settings["interventions"]["rewind"]


def edit_of(wildcards):
    settings = cell(wildcards).settings["interventions"]["edit"]
    return {key: value for key, value in settings.items() if key != "epochs"}


def relabel_of(wildcards):
    return cell(wildcards).settings["interventions"]["relabel"]


def relabelling_probe_of(wildcards):
    probe = cell(wildcards).settings["probes"][relabel_of(wildcards)["probe"]]
    return {key: value for key, value in probe.items() if key not in ("family", "score")}


def version_of_relabelling(wildcards):
    return versions.of_relabel(relabelling_probe_of(wildcards)["kind"])


def cell_of_run(wildcards):
    return GRID.cell_of_run(wildcards.dataset, wildcards.model, wildcards.noise, wildcards.level, wildcards.run)


def index_of_run(wildcards):
    return f"{cell_of_run(wildcards)[0].path}/checkpoints.json"


def model_of_run(wildcards):
    return cell_of_run(wildcards)[0].declared_model


def columns_of_run(wildcards):
    return cell_of_run(wildcards)[1].columns()


def declared_dataset(wildcards):
    return GRID.config["datasets"].get(wildcards.dataset)


def declared_file(wildcards):
    """Inputs of a declared data set: the file, or the folders of the classes, whose time stamps tell of new images.

    They are local: a configuration names them as seen from where Snakemake is called, whatever another workflow puts
    before the results.
    """
    declared = declared_dataset(wildcards)
    if declared is None or "npz" in declared:
        return [local(declared["npz"])] if declared else []
    return sorted(local(str(path)) for path in datasets.class_folders(Path(declared["folder"])))


def version_of_data(wildcards):
    return datasets.version(declared_dataset(wildcards))


def name_of_data(wildcards, output):
    """What tells the data sets apart in Snakemake's cache between workflows, which knows params but no wildcards.

    Taken from an output, it is not kept in the record that decides about reruns.
    """
    return Path(output.meta).parent.name


# Files of the whole grid


def parts_of_table(wildcards):
    """Files of all cells that make up one table."""
    table = wildcards.table
    found = [path for cell in GATHERED.cells for path in grid.parts(cell).get(table, [])]
    if not found and table in MISSING:
        raise WorkflowError(f"partial_results: no run is there with all its files of {table}; leave the key out")
    if not found:
        where = "under 'interventions'" if table in catalogue.INTERVENTIONS else "to one"
        raise WorkflowError(f"no entry of the grid has {table}; add it {where}")
    return found


def accepted_models():
    # A refused network is missing from partial results, which say so.
    return [] if PARTIAL else [f"results/models/{dataset}.txt" for dataset in GRID.datasets]


def parts_of_all_tables(wildcards):
    """What is there of all tables, where that is not the whole grid.

    Each job looks anew at what is there. Until all of it is up to date, a file may be away that is made again.
    """
    return [path for cell in GATHERED.cells for paths in grid.parts(cell).values() for path in paths] if PARTIAL else []


def missing_from_table(wildcards):
    return MISSING.get(wildcards.table, {})


def missing_runs(wildcards, output):
    """What captions say of runs that are missing; taken from an output, it is not kept in the record of the job."""
    return incomplete.sentence(*incomplete.together(MISSING.values()))


def data_files():
    return [f"results/data/{dataset}/meta.json" for dataset in GATHERED.datasets]


def figure_files():
    """Figures that the grid has everything for."""
    return [f"results/figures/{figure}.pdf" for figure in catalogue.available(GATHERED.cells)]


def tables_of_figure(wildcards):
    return [f"results/tables/{table}.parquet" for table in catalogue.tables(wildcards.figure, GATHERED.cells)]


def settings_of_figure(wildcards):
    """What figures of probes know of them; another figure is not drawn again when a probe changes."""
    return GATHERED.probes if "probes" in catalogue.tables(wildcards.figure, GATHERED.cells) else {}


def models_of_figure(wildcards):
    """What figures that compare models know of them."""
    return GATHERED.models if wildcards.figure in ("fig13", "fig25") else {}


def models_of_data():
    """Models that are trained on each data set."""
    return {data: sorted({cell.model for cell in GATHERED.cells if cell.dataset == data}) for data in GATHERED.datasets}


def headline_tables():
    names = ["probes", "history", *catalogue.interventions(GATHERED.cells)]
    return [f"results/tables/{table}.parquet" for table in names]


def figure_title(wildcards):
    return {"figure": wildcards.figure, "shows": catalogue.FIGURES[wildcards.figure].title}


# Resources that grow with each attempt


def more_memory(megabytes):
    def mem_mb(wildcards, attempt):
        return megabytes * attempt

    return mem_mb


def more_minutes(minutes):
    def runtime(wildcards, attempt):
        return minutes * 2 ** (attempt - 1)

    return runtime
