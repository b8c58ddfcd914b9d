"""Train the runs of a cell."""

from pathlib import Path

from latentgen.progress import logged
from latentgen.training.cell import train_cell
from latentgen.training.recipe import Recipe

with logged(snakemake.log[0]):
    params = snakemake.params
    train_cell(
        folder=Path(snakemake.output.history).parent,
        runs=params.runs,
        data_folder=Path(snakemake.input.data).parent,
        labels=snakemake.input.labels,
        model=params.model,
        recipe=Recipe.from_config(params.training),
        saved_epochs=params.saved_epochs,
        device=params.device,
        threads=params.threads,
    )
