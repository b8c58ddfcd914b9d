"""List the layers of every network, or what could be layers."""

from latentgen.files import atomic
from latentgen.models import verdicts
from latentgen.progress import logged

with logged(snakemake.log[0]):
    found = [verdict for path in snakemake.input for verdict in verdicts.read(path)]
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(verdicts.listing(found))
