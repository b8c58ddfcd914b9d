"""Dump one layer of one checkpoint."""

from pathlib import Path

from latentgen.activations.dumps import dump_layer, stream
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params, wildcards = snakemake.params, snakemake.wildcards
    dump_layer(
        folder=Path(snakemake.input.index).parent,
        run=params.run,
        epoch=int(wildcards.epoch),
        layer=wildcards.layer,
        source=stream(Path(snakemake.input.data).parent, params.model, params.device, params.threads),
        path=snakemake.output[0],
    )
