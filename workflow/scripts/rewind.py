"""Put the weights of layers back to every saved epoch and score the networks."""

from latentgen import tables
from latentgen.interventions.rewind import rewind_cell
from latentgen.progress import logged
from latentgen.trained import TrainedCell

with logged(snakemake.log[0]):
    files, params = snakemake.input, snakemake.params
    cell = TrainedCell.of_files(
        files.index, files.data, files.labels, params.runs, params.model, params.device, params.threads
    )
    # As for geometry: a copy outlives the output that Snakemake deletes.
    kept = cell.folder / "partial" / "rewind.parquet"
    tables.write(rewind_cell(cell, params.settings, kept), snakemake.output[0])
