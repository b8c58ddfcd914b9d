"""Map the examples of a cell's first run in two dimensions."""

from pathlib import Path

from latentgen import tables
from latentgen.maps.cell import maps_cell
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params = snakemake.params
    rows = maps_cell(
        folder=Path(snakemake.input.index).parent,
        run=params.runs[0],
        settings=params.settings,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        device=params.device,
        threads=params.threads,
    )
    tables.write(rows, snakemake.output[0])
