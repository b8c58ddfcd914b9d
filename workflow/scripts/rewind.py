"""Put the weights of layers back to every saved epoch and score the networks."""

from latentgen import tables
from latentgen.interventions.rewind import rewind_cell
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    params = snakemake.params
    cell = TrainedCell.of_job(snakemake.input, params)
    # As for geometry: a copy outlives the output that Snakemake deletes.
    kept = cell.folder / "partial" / "rewind.parquet"
    tables.write(rewind_cell(cell, params.settings, kept), snakemake.output[0])
