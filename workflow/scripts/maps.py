"""Map the examples of a cell's first run in two dimensions."""

from latentgen import tables
from latentgen.maps.cell import maps_cell
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    files, params = snakemake.input, snakemake.params
    cell = TrainedCell.of_files(
        files.index, files.data, files.labels, params.runs, params.model, params.device, params.threads
    )
    tables.write(maps_cell(cell, params.settings), snakemake.output[0])
