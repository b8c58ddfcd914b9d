"""Map the examples of a cell's first run in two dimensions."""

from latentgen import tables
from latentgen.maps.cell import maps_cell
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    params = snakemake.params
    cell = TrainedCell.of_job(snakemake.input, params)
    tables.write(maps_cell(cell, params.settings), snakemake.output[0])
