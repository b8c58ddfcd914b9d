"""Gradients of the layers of a block of checkpoints."""

from latentgen import tables
from latentgen.gradients.blocks import gradients_block
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    files, params = snakemake.input, snakemake.params
    cell = TrainedCell.of_files(
        files.index, files.data, files.labels, params.runs, params.model, params.device, params.threads
    )
    block = snakemake.wildcards.block
    # As for geometry: a copy outlives the output that Snakemake deletes.
    kept = cell.folder / "partial" / "gradients" / f"{block}.parquet"
    tables.write(gradients_block(cell, block, kept), snakemake.output[0])
