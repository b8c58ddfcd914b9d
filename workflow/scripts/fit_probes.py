"""Fit and score a family of probes on a block of checkpoints."""

from latentgen import tables
from latentgen.probes.blocks import probe_block
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    params = snakemake.params
    cell = TrainedCell.of_job(snakemake.input, params)
    block, family = snakemake.wildcards.block, snakemake.wildcards.family
    # Snakemake deletes an output before it is made again: a copy beside training's kept state outlives it.
    kept = cell.folder / "partial" / "probes" / family / f"{block}.parquet"
    rows = probe_block(cell, block, params.family, kept, snakemake.input.dumps or None, params.needed)
    tables.write(rows, snakemake.output[0])
