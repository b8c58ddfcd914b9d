"""Draw one figure and write the table behind it."""

from pathlib import Path

from latentgen import datasets, figures, tables
from latentgen.progress import logged

with logged(snakemake.log[0]):
    # A folder of prepared data carries the data set's name, a table's file the table's.
    folders = [Path(meta).parent for meta in snakemake.input.data]
    chance = {folder.name: 1 / datasets.load(folder).n_classes for folder in folders}
    frames = {Path(path).stem: tables.read(path) for path in snakemake.input.tables}
    declared = {"settings": snakemake.params.settings, "models": snakemake.params.models}
    results = figures.Results.of(frames, **declared, chance=chance)
    figure, table = figures.draw(snakemake.wildcards.figure, results)
    figures.save(figure, table, Path(snakemake.output.pdf).with_suffix(""))
