"""Put the tables of all cells into one."""

import pyarrow.parquet as pq

from latentgen import tables
from latentgen.progress import logged

with logged(snakemake.log[0]):
    tables.concatenate(snakemake.input, pq.read_schema(snakemake.input[0]), snakemake.output[0])
