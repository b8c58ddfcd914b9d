"""Dump all layers of all checkpoints of a block."""

from pathlib import Path

from latentgen.activations.dumps import dump_block, stream
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params = snakemake.params
    dump_block(
        folder=Path(snakemake.input.index).parent,
        runs=params.runs,
        block=snakemake.wildcards.block,
        source=stream(Path(snakemake.input.data).parent, params.model, params.device, params.threads),
        target=snakemake.output[0],
    )
