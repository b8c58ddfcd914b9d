"""Statistics over runs: intervals over data seeds, runs that stop early, and the headline table.

A *grid point* is one (dataset, model, noise, level); its runs differ in ``data_seed`` and ``model_seed``. The
data seed draws the corruption and the subsets, so it is the unit that is sampled: model seeds that share a
data seed are averaged first, and every interval is over data seeds. All values are fractions, as in the
tables they come from.
"""

from latentgen.summary.curves import carry_forward
from latentgen.summary.headline import headline, headline_of
from latentgen.summary.intervals import (
    CONFIDENCE,
    FEWEST,
    GRID_POINT,
    RUN,
    RUNS,
    SEEDS,
    Interval,
    difference,
    interval,
    over_seeds,
)
from latentgen.summary.selection import model_accuracy, probe_accuracy
from latentgen.summary.text import headline_text

__all__ = [
    "CONFIDENCE",
    "FEWEST",
    "GRID_POINT",
    "RUN",
    "RUNS",
    "SEEDS",
    "Interval",
    "carry_forward",
    "difference",
    "headline",
    "headline_of",
    "headline_text",
    "interval",
    "model_accuracy",
    "over_seeds",
    "probe_accuracy",
]
