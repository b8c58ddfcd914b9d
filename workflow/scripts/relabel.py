"""Relabel the training set by a probe and train on that from scratch."""

from latentgen import tables
from latentgen.interventions.relabel import relabel_cell
from latentgen.progress import logged
from latentgen.trained import TrainedCell
from latentgen.training.recipe import Recipe

with logged(snakemake.log[0]):
    params = snakemake.params
    cell = TrainedCell.of_job(snakemake.input, params)
    recipe = Recipe.from_config(params.training)
    rows = relabel_cell(cell, params.settings, params.probe, recipe)
    tables.write(rows, snakemake.output[0])
