"""Put the weights of layers back to every saved epoch and score the networks."""

from pathlib import Path

from latentgen import tables
from latentgen.interventions.rewind import rewind_cell
from latentgen.progress import logged

with logged(snakemake.log[0]):
    params = snakemake.params
    folder = Path(snakemake.input.index).parent
    rows = rewind_cell(
        folder=folder,
        runs=params.runs,
        settings=params.settings,
        data_folder=Path(snakemake.input.data).parent,
        labels_file=snakemake.input.labels,
        model=params.model,
        device=params.device,
        threads=params.threads,
        # As for geometry: a copy outlives the output that Snakemake deletes.
        kept=folder / "partial" / "rewind.parquet",
    )
    tables.write(rows, snakemake.output[0])
