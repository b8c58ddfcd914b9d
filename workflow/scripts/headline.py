"""State the phenomenon in numbers."""

from latentgen import incomplete, summary
from latentgen.figures import reading
from latentgen.files import atomic
from latentgen.progress import logged

with logged(snakemake.log[0]):
    frame = reading.headline(snakemake.input)
    for path, write in ((snakemake.output.parquet, frame.to_parquet), (snakemake.output.csv, frame.to_csv)):
        with atomic(path) as temporary:
            write(temporary, index=False)
    with atomic(snakemake.output.text) as temporary:
        temporary.write_text(incomplete.heading(*incomplete.missing(snakemake.input)) + summary.headline_text(frame))
