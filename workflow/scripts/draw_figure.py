"""Draw one figure and write the table behind it."""

import os
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"  # a notebook's own would fail here, or open windows

from latentgen import datasets, figures, incomplete
from latentgen.figures import reading
from latentgen.progress import logged

with logged(snakemake.log[0]):
    # A folder of prepared data carries the data set's name.
    folders = [Path(meta).parent for meta in snakemake.input.data]
    chance = {folder.name: 1 / datasets.load(folder, verify=False).n_classes for folder in folders}
    declared = {"settings": snakemake.params.settings, "models": snakemake.params.models}
    results = reading.results(snakemake.wildcards.figure, snakemake.input.tables, **declared, chance=chance)
    drawing = figures.draw(snakemake.wildcards.figure, results)
    note = incomplete.sentence(*incomplete.missing(snakemake.input.tables))
    figures.save(drawing, Path(snakemake.output.pdf).with_suffix(""), note)
