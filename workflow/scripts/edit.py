"""Edit the readout of a cell's runs after one epoch and train on."""

from latentgen import tables
from latentgen.interventions.edit import edit_cell
from latentgen.progress import logged
from latentgen.trained import TrainedCell
from latentgen.training.recipe import Recipe

with logged(snakemake.log[0]):
    params = snakemake.params
    cell = TrainedCell.of_job(snakemake.input, params)
    recipe = Recipe.from_config(params.training)
    rows = edit_cell(cell, int(snakemake.wildcards.epoch), params.settings, recipe)
    tables.write(rows, snakemake.output[0])
