"""Try every network that is trained on a data set; a refused one has a verdict, too."""

import json
from pathlib import Path

from latentgen import datasets
from latentgen.compute import use_threads
from latentgen.files import atomic
from latentgen.models import verdicts
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params = snakemake.params
    use_threads(params.threads)
    data = datasets.load(Path(snakemake.input.data).parent)
    found = verdicts.verdicts(params.asked, snakemake.wildcards.dataset, data)
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
