"""Put the tables of all cells into one."""

import pyarrow.parquet as pq

from latentgen import incomplete, tables
from latentgen.progress import logged

with logged(snakemake.log[0]):
    parts = snakemake.input.parts
    lacks = incomplete.metadata(snakemake.params.get("missing"))
    tables.concatenate(parts, pq.read_schema(parts[0]), snakemake.output[0], lacks)
