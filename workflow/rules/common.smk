"""The grid, and what rules ask of it."""

from snakemake.exceptions import WorkflowError

from latentgen import activations, datasets, figures, grid, models, noise, probes, training

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


try:
    GRID = grid.load(config, workflow.source_path("../schemas/config.schema.yaml"))
except grid.ConfigError as error:
    raise WorkflowError(str(error)) from None

DEVICE = GRID.config["device"]
THREADS = GRID.config["threads"]
GPU = 0 if DEVICE == "cpu" else 1
DUMP = GRID.config["activations"] == "dump"

# Each figure's title in the report, and the probes that it draws.
FIGURES = {
    "fig1": ("MASC over training", {"masc"}),
    "fig2": ("VeLPIC over training", {"velpic"}),
    "fig3": ("VeLPIC minus MASC", {"masc", "velpic"}),
    "fig4": ("Logistic regression over training", {"logistic"}),
    "fig5": ("MASC minus logistic regression", {"masc", "logistic"}),
}


# What the configuration says of a cell, and of one run in it


def cell(wildcards):
    return GRID.cell(wildcards.dataset, wildcards.model, wildcards.noise, wildcards.level, wildcards.seeds)


def runs_of(wildcards):
    return [run.columns() for run in cell(wildcards).runs]


def model_of(wildcards):
    return cell(wildcards).declared_model


def validation_of(wildcards):
    return cell(wildcards).settings["validation"]


def training_of(wildcards):
    return cell(wildcards).settings["training"]


def saved_epochs_of(wildcards):
    return cell(wildcards).saved_epochs


def family_of(wildcards):
    return cell(wildcards).families[wildcards.family]


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
    declared = declared_dataset(wildcards)
    return [declared["npz"]] if declared else []


# Files of the whole grid


def history_files():
    return [f"{cell.path}/history.parquet" for cell in GRID.cells]


def probe_files():
    return [
        f"{cell.path}/probes/{family}/{block}.parquet"
        for cell in GRID.cells
        for family in cell.families
        for block in cell.blocks
    ]


def data_files():
    return [f"results/data/{dataset}/meta.json" for dataset in GRID.datasets]


def figure_files():
    """Figures that some cell has all probes for."""
    return [
        f"results/figures/{figure}.pdf"
        for figure, (_, needed) in FIGURES.items()
        if any(needed <= set(cell.settings["probes"]) for cell in GRID.cells)
    ]


def figure_title(wildcards):
    return {"figure": wildcards.figure, "shows": FIGURES[wildcards.figure][0]}


# Resources that grow with each attempt


def more_memory(megabytes):
    def mem_mb(wildcards, attempt):
        return megabytes * attempt

    return mem_mb


def more_minutes(minutes):
    def runtime(wildcards, attempt):
        return minutes * 2 ** (attempt - 1)

    return runtime
