"""Evaluate edited readouts on a block of checkpoints."""

from latentgen import tables
from latentgen.interventions.transfer import transfer_block
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    params = snakemake.params
    cell = TrainedCell.of_job(snakemake.input, params)
    block = snakemake.wildcards.block
    # As for probes: a copy outlives the output that Snakemake deletes.
    kept = cell.folder / "partial" / "transfer" / f"{block}.parquet"
    tables.write(transfer_block(cell, block, params.settings, kept), snakemake.output[0])
