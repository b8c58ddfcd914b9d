"""Rows of one job of an analysis."""

from latentgen import analyses, tables
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    analysis = analyses.NAMED[snakemake.params.analysis]
    cell = TrainedCell.of_job(snakemake.input, snakemake.params)
    named = analysis.named(cell.folder, snakemake.output[0], snakemake.wildcards, snakemake.input, snakemake.params)
    tables.write(analysis.run(cell, snakemake.params.settings, **named), snakemake.output[0])
