"""Put the pilots together with the counts of the grid."""

import json
from pathlib import Path

from latentgen import tables
from latentgen.estimate.text import estimate_text
from latentgen.estimate.totals import estimate
from latentgen.files import atomic
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params = snakemake.params
    # The last three parts of a file's path are the pilot's name.
    files = map(Path, snakemake.input)
    pilots = {"/".join(path.with_suffix("").parts[-3:]): json.loads(path.read_text()) for path in files}
    rows = estimate(params.workloads, params.gathering, pilots, params.threads)
    tables.write(rows, snakemake.output.parquet)
    text = estimate_text(rows.to_pandas(), params.minutes, [pilot["where"] for pilot in pilots.values()])
    with atomic(snakemake.output.text) as temporary:
        temporary.write_text(text)
    print(text)
    print(snakemake.output.text)
