"""Draw one figure and write the table behind it."""

from pathlib import Path

from latentgen import datasets, figures, tables
from latentgen.progress import logged

with logged(snakemake.log[0]):
    # A folder of prepared data carries the data set's name.
    folders = [Path(meta).parent for meta in snakemake.input.data]
    chance = {folder.name: 1 / datasets.load(folder).n_classes for folder in folders}
    frames = tables.read(snakemake.input.probes), tables.read(snakemake.input.history)
    figure, table = figures.draw(snakemake.wildcards.figure, *frames, chance=chance)
    figures.save(figure, table, Path(snakemake.output.pdf).with_suffix(""))
