"""Count the trained weights of the layers of every model."""

from pathlib import Path

from latentgen import datasets, tables
from latentgen.models.sizes import layer_rows
from latentgen.progress import logged

with logged(snakemake.log[0]):
    declared, rows = snakemake.params.declared, []
    for meta in map(Path, snakemake.input.data):
        # A folder of prepared data carries the data set's name.
        data, name = datasets.load(meta.parent, verify=False), meta.parent.name
        models = {model: declared[model] for model in snakemake.params.of_data[name]}
        rows += layer_rows(name, data.in_shape, data.n_classes, models)
    tables.write(tables.from_rows(rows, tables.LAYERS), snakemake.output[0])
