"""Evaluate edited readouts on a block of checkpoints."""

from pathlib import Path

from latentgen import tables
from latentgen.interventions.transfer import transfer_block
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params, block = snakemake.params, snakemake.wildcards.block
    folder = Path(snakemake.input.index).parent
    # As for probes: a copy outlives the output that Snakemake deletes.
    kept = folder / "partial" / "transfer" / f"{block}.parquet"
    rows = transfer_block(
        folder=folder,
        runs=params.runs,
        block=block,
        settings=params.settings,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        device=params.device,
        threads=params.threads,
        kept=kept,
    )
    tables.write(rows, snakemake.output[0])
