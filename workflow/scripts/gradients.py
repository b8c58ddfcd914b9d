"""Gradients of the layers of a block of checkpoints."""

from latentgen import tables
from latentgen.gradients.blocks import gradients_block
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    cell = TrainedCell.of_job(snakemake.input, snakemake.params)
    block = snakemake.wildcards.block
    # As for geometry: a copy outlives the output that Snakemake deletes.
    kept = cell.folder / "partial" / "gradients" / f"{block}.parquet"
    tables.write(gradients_block(cell, block, kept), snakemake.output[0])
