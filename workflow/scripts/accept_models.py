"""List the networks that are trained on a data set, and fail where one cannot do what the grid asks of it."""

from latentgen.files import atomic
from latentgen.models import verdicts
from latentgen.progress import logged

with logged(snakemake.log[0]):
    found = verdicts.read(snakemake.input[0])
    verdicts.expect_none_refused(found)
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(verdicts.listing(found))
