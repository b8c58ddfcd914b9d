"""The tables behind figures 1 to 5 and 14: accuracies of probes over training, and differences between them."""

from collections.abc import Iterable

import pandas as pd

from latentgen import summary
from latentgen.numbers import averages
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results
from latentgen.summary import GRID_POINT, RUN
from latentgen.summary.portions import portions
from latentgen.summary.selection import MEASURED


def over_training(results: Results, probe: str, minus: str | None = None) -> pd.DataFrame:
    """Accuracies of ``probe`` on each layer and of the networks, or of ``probe`` minus those of another.

    Raises ``ValueError`` where a probe or the networks' test accuracy is missing.
    """
    probes = results.probes
    if minus is None:
        rows, series = averages.probe_rows(probes, probe), probe
    else:
        for name in (probe, minus):
            averages.probe_rows(probes[MEASURED], name)
        rows = pd.concat([_differences(part, probe, minus) for (part,) in portions(probes)], ignore_index=True)
        series = difference(probe, minus)
    parts = [averages.over_epochs(rows, [*GRID_POINT, "layer", "depth"]).assign(series=series, fit_labels="given")]
    if minus is None:
        # Only of what was probed: a panel without layers says nothing.
        parts.append(averages.networks(results.history, rows, on=GRID_POINT))
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, probes)


def _differences(probes: pd.DataFrame, probe: str, minus: str) -> pd.DataFrame:
    both = [summary.probe_accuracy(probes, name) for name in (probe, minus)]
    return summary.difference(*both, [*RUN, "layer", "depth", "epoch"])


def difference(probe: str, minus: str) -> str:
    """Name of the series of a difference."""
    return f"{probe} - {minus}"


def batch_norm(results: Results, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Accuracies of probes in two modes of batch normalisation, their differences, and the networks.

    ``pairs`` : names of probes that differ in the mode alone (`latentgen.probes.compared.mode_pairs`)
    """
    key = [*GRID_POINT, "layer", "depth"]
    found, gaps = {}, {}
    for running, example in pairs:
        both = [averages.probe_rows(results.probes, name) for name in (example, running)]
        gaps[example, running] = summary.difference(*both, [*RUN, "layer", "depth", "epoch"])
        found |= {example: both[0], running: both[1]}
    # Without batch normalisation the modes agree, which is drawn only where there is nothing else.
    differing = pd.concat([gap[gap["value"] != 0] for gap in gaps.values()])
    shown = (pd.concat(found.values()) if differing.empty else differing)[PAIR].drop_duplicates()
    parts = []
    for name, rows in found.items():
        probe = results.settings[name]
        part = averages.over_epochs(rows.merge(shown, on=PAIR), key)
        parts.append(part.assign(series=name, batch_norm=probe["batch_norm"], fit_labels=probe["fit_labels"]))
    for (example, running), gap in gaps.items():
        part = averages.over_epochs(gap.merge(shown, on=PAIR), key)
        fit_labels = results.settings[running]["fit_labels"]
        parts.append(part.assign(series=difference(example, running), fit_labels=fit_labels))
    parts.append(averages.networks(results.history, shown, on=PAIR))
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, results.probes, ["batch_norm"])
