"""Geometry of a block of checkpoints."""

from latentgen import tables
from latentgen.geometry.blocks import geometry_block
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    params = snakemake.params
    cell = TrainedCell.of_job(snakemake.input, params)
    block = snakemake.wildcards.block
    # Snakemake deletes an output before it is made again: a copy beside training's kept state outlives it.
    kept = cell.folder / "partial" / "geometry" / f"{block}.parquet"
    tables.write(geometry_block(cell, block, params.settings, kept), snakemake.output[0])
