"""Edit the readout of a cell's runs after one epoch and train on."""

from pathlib import Path

from latentgen import tables
from latentgen.interventions.edit import edit_cell
from latentgen.progress import logged
from latentgen.training.recipe import Recipe

with logged(snakemake.log[0]):
    params = snakemake.params
    rows = edit_cell(
        folder=Path(snakemake.input.index).parent,
        runs=params.runs,
        epoch=int(snakemake.wildcards.epoch),
        settings=params.settings,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        recipe=Recipe.from_config(params.training),
        device=params.device,
        threads=params.threads,
    )
    tables.write(rows, snakemake.output[0])
