"""Relabel the training set by a probe and train on that from scratch."""

from pathlib import Path

from latentgen import tables
from latentgen.interventions.relabel import relabel_cell
from latentgen.progress import logged
from latentgen.training.recipe import Recipe

with logged(snakemake.log[0]):
    params = snakemake.params
    rows = relabel_cell(
        folder=Path(snakemake.input.index).parent,
        runs=params.runs,
        settings=params.settings,
        probe=params.probe,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        recipe=Recipe.from_config(params.training),
        device=params.device,
        threads=params.threads,
    )
    tables.write(rows, snakemake.output[0])
