"""Gradients of the layers of a block of checkpoints."""

from pathlib import Path

from latentgen import tables
from latentgen.gradients.blocks import gradients_block
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params, block = snakemake.params, snakemake.wildcards.block
    folder = Path(snakemake.input.index).parent
    rows = gradients_block(
        folder=folder,
        runs=params.runs,
        block=block,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        device=params.device,
        threads=params.threads,
        # As for geometry: a copy outlives the output that Snakemake deletes.
        kept=folder / "partial" / "gradients" / f"{block}.parquet",
    )
    tables.write(rows, snakemake.output[0])
