"""Load a data set from its original files and keep it as arrays."""

from pathlib import Path

from latentgen import datasets
from latentgen.grid import paths
from latentgen.progress import logged

with logged(snakemake.log[0]):
    # data_root is no parameter of the job: where the files were found changes nothing in the arrays.
    data_root = paths.expanded(snakemake.config.get("data_root", "data"))
    data = datasets.prepare(snakemake.wildcards.dataset, data_root, snakemake.params.declared)
    datasets.save(data, Path(snakemake.output.meta).parent)
