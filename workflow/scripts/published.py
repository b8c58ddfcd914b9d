"""Set what was published beside what the grid gave."""

from latentgen import incomplete, published, tables
from latentgen.files import atomic
from latentgen.progress import logged

with logged(snakemake.log[0]):
    compared = published.rows()
    frame = published.scoreboard(*(tables.read(path, filters=compared) for path in snakemake.input))
    for path, write in ((snakemake.output.parquet, frame.to_parquet), (snakemake.output.csv, frame.to_csv)):
        with atomic(path) as temporary:
            write(temporary, index=False)
    text = incomplete.heading(*incomplete.missing(snakemake.input)) + published.scoreboard_text(frame)
    with atomic(snakemake.output.text) as temporary:
        temporary.write_text(text)
    print(text)
