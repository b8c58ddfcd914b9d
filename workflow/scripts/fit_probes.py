"""Fit and score a family of probes on a block of checkpoints."""

from pathlib import Path

from latentgen import tables
from latentgen.probes.blocks import probe_block
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params, wildcards = snakemake.params, snakemake.wildcards
    folder = Path(snakemake.input.index).parent
    # Snakemake deletes an output before it is made again: a copy beside training's kept state outlives it.
    kept = folder / "partial" / "probes" / wildcards.family / f"{wildcards.block}.parquet"
    rows = probe_block(
        folder=folder,
        runs=params.runs,
        block=wildcards.block,
        family=params.family,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        device=params.device,
        threads=params.threads,
        kept=kept,
        dumps=snakemake.input.dumps or None,
    )
    tables.write(rows, snakemake.output[0])
