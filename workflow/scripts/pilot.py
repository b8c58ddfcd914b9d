"""Measure what one network takes, for the estimate of a grid."""

import json
from pathlib import Path

from latentgen.estimate.pilot import measure
from latentgen.files import atomic
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params, wildcards = snakemake.params, snakemake.wildcards
    found = measure(
        dataset=wildcards.dataset,
        model=wildcards.model,
        plan=params.plan,
        data_folder=Path(snakemake.input.data).parent,
        folder=Path(snakemake.output[0]).parent,
        device=params.device,
        threads=params.threads,
    )
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
