"""Draw the labels of a cell's data seeds."""

from pathlib import Path

from latentgen import datasets, labels, tables
from latentgen.progress import logged

with logged(snakemake.log[0]):
    data = datasets.load(Path(snakemake.input.meta).parent)
    drawn = labels.draw(data.y_train, data.n_classes, snakemake.params.runs, snakemake.params.validation)
    tables.write(drawn, snakemake.output[0])
