"""Geometry of a block of checkpoints."""

from pathlib import Path

from latentgen import tables
from latentgen.geometry.blocks import geometry_block
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params, wildcards = snakemake.params, snakemake.wildcards
    folder = Path(snakemake.input.index).parent
    rows = geometry_block(
        folder=folder,
        runs=params.runs,
        block=wildcards.block,
        settings=params.settings,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        device=params.device,
        threads=params.threads,
        # Snakemake deletes an output before it is made again: a copy beside training's kept state outlives it.
        kept=folder / "partial" / "geometry" / f"{wildcards.block}.parquet",
    )
    tables.write(rows, snakemake.output[0])
