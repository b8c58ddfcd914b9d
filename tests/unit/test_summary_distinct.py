"""Copies of a run count once, wherever a table's rows are averaged."""

import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rows import curve, probe_rows

from latentgen import figures, tables
from latentgen.analyses import TABLES
from latentgen.figures import reading
from latentgen.summary import RUN, distinct


def losses(**runs):
    """Losses of runs, by names such as ``d1m0``."""
    rows = [(int(name[1]), int(name[3]), epoch, value) for name, own in runs.items() for epoch, value in enumerate(own)]
    return curve(rows)


@pytest.mark.parametrize(
    ("runs", "copied"),
    [
        ({"d0m0": [2.3, 0.5], "d1m0": [2.3, 0.5], "d2m0": [2.3, 0.5]}, [(1, 0), (2, 0)]),
        # Networks that start alike and differ later, or by the last bit.
        ({"d0m0": [2.3, 0.5], "d1m0": [2.3, np.nextafter(0.5, 1)]}, []),
        ({"d0m0": [2.3, 0.5, 0.4], "d1m0": [2.3, 0.5]}, []),
        ({"d0m0": [0.5, 2.3], "d1m0": [2.3, 0.5]}, []),
        # A data seed without effect, beside model seeds that have one, and the other way round.
        ({"d0m0": [2, 1], "d0m1": [3, 1], "d1m0": [2, 1], "d1m1": [3, 1]}, [(1, 0), (1, 1)]),
        ({"d0m0": [2, 1], "d0m1": [2, 1], "d1m0": [3, 1], "d1m1": [3, 1]}, [(0, 1), (1, 1)]),
        # Losses that never change are those of networks that do not learn.
        ({"d0m0": [7.0, 7.0], "d1m0": [7.0, 7.0]}, []),
    ],
)
def test_copies_have_the_same_losses_at_every_epoch(runs, copied):
    rows = losses(**runs)
    for frame in (rows, rows.sample(frac=1, random_state=0)):
        found = distinct.copies(frame)
        assert list(found.columns) == RUN and list(found[["data_seed", "model_seed"]].itertuples(False, None)) == copied
    # Runs of another grid point are other runs, whatever their losses are.
    both = pd.concat([rows, rows.assign(level=0.2)])
    assert len(distinct.copies(both)) == 2 * len(copied)


def test_rows_of_copies_are_left_out_and_other_tables_stay():
    copied = distinct.copies(losses(d0m0=[2.3, 0.5], d1m0=[2.3, 0.5]))
    rows = probe_rows([(seed, 0, 1, 0, 0.9) for seed in range(3)])
    assert list(distinct.without(rows, copied)["data_seed"]) == [0, 2]
    assert len(distinct.without(pd.concat([rows, rows.assign(level=0.2)]), copied)) == 5
    sizes = pd.DataFrame({"dataset": ["digits"], "model": ["mlp"], "parameters": [3]})
    assert distinct.without(sizes, copied) is sizes and distinct.without(rows, copied.head(0)) is rows


@pytest.fixture
def files(tmp_path):
    """Gathered tables of four runs of one grid point, of which the second is a copy of the first."""
    copied = {0: 0, 1: 0, 2: 1, 3: 2}
    own = [(seed, 0, epoch, 0.1 + 0.2 * epoch + 0.05 * copied[seed]) for seed in range(4) for epoch in range(3)]
    history = curve(own, split="test", labels="true", mode="evaluated", metric="accuracy", n=450)
    history = pd.concat([history, history.assign(metric="loss", value=2 - history["value"])])
    probes = probe_rows([(seed, 0, epoch, 0, value + 0.1) for seed, _, epoch, value in own])
    probes = probes.assign(n=450, rank=3.0, margin=0.1, inputs="")
    for name, schema, frame in (("probes", TABLES["probes"].schema, probes), ("history", tables.HISTORY, history)):
        table = pa.Table.from_pandas(frame.assign(entry="e"), schema=schema, preserve_index=False)
        tables.write(table, tmp_path / f"{name}.parquet")
    return [tmp_path / "probes.parquet", tmp_path / "history.parquet"]


def test_figures_and_headline_count_a_copy_once_and_say_so(files, caplog):
    with caplog.at_level(logging.WARNING):
        table = reading.headline(files)
    assert set(table["n"]) == set(table["n_runs"]) == {3}
    final = table[(table["quantity"] == "model_final")].iloc[0]
    np.testing.assert_allclose(final[["mean", "run1", "run2", "run3"]].astype(float), [0.55, 0.5, 0.55, 0.6])
    assert "digits/mlp/uniform-0.6: data1-model0 had the same losses" in caplog.text
    shown = figures.draw("fig1", reading.results("fig1", files)).table
    assert set(shown["n"]) == {3}
