"""Rewinding in the headline: which sets count, what is chosen, and the words for it."""

import numpy as np
import pandas as pd
import pytest
from rows import POINT, history_rows, probe_rows

from latentgen import summary
from latentgen.summary.selection import rewind_accuracy, whole_sets

LAYERS = ("fc1", "fc2", "output")
HISTORY = [(0, 0, 0, 0.1), (0, 0, 1, 0.7), (0, 0, 4, 0.5), (1, 0, 0, 0.2), (1, 0, 1, 0.6), (1, 0, 3, 0.3)]


def rewind_rows(rows, **columns):
    """Rows of (data seed, last epoch, epoch, kind, depth, value)."""
    table = pd.DataFrame(rows, columns=["data_seed", "last_epoch", "epoch", "kind", "depth", "value"])
    fixed = {"model_seed": 0, "parameters": 10, "weights": "saved", "draw": None, "batch_norm": "none", "view": "test"}
    layer = table["depth"].map(lambda depth: LAYERS[depth - 1])
    return table.assign(**POINT, layer=layer, **{**fixed, "metric": "accuracy", "n": 100, "inputs": "", **columns})


@pytest.fixture
def tables():
    probes = probe_rows([(0, 0, 4, 0, 0.3), (1, 0, 3, 0, 0.4)])
    return probes, history_rows(HISTORY)


@pytest.fixture
def rewind():
    """Suffixes and prefixes: whole networks are best of all, and must not count as rewound."""
    return rewind_rows(
        [(0, 4, 1, "suffix", 1, 0.99), (0, 4, 1, "suffix", 2, 0.62), (0, 4, 1, "suffix", 3, 0.6)]
        + [(0, 4, 4, "suffix", 1, 0.5), (0, 4, 4, "suffix", 2, 0.5), (0, 4, 4, "suffix", 3, 0.5)]
        # Equal ones: the earlier epoch, then the shallower layer.
        + [(1, 3, 1, "suffix", 1, 0.99), (1, 3, 1, "suffix", 2, 0.4), (1, 3, 1, "suffix", 3, 0.4)]
        + [(1, 3, 3, "suffix", 1, 0.4), (1, 3, 3, "suffix", 2, 0.4), (1, 3, 3, "suffix", 3, 0.4)]
        + [(0, 4, 1, "prefix", 1, 0.52), (0, 4, 1, "prefix", 3, 0.99), (0, 4, 4, "prefix", 1, 0.5)]
        + [(0, 4, 4, "prefix", 3, 0.5), (1, 3, 3, "prefix", 3, 0.3)]
        + [(1, 3, 1, "prefix", 1, 0.2), (1, 3, 1, "prefix", 3, 0.99), (1, 3, 3, "prefix", 1, 0.3)]
        + [(0, 4, 1, "alone", 1, 0.4), (0, 4, 1, "alone", 3, 0.55), (1, 3, 1, "alone", 1, 0.35)]
        + [(1, 3, 1, "alone", 3, 0.3)]
    )


def found(table):
    """{(quantity, choice, way): (mean, low, high, layer, epoch)}."""
    table = table[table["quantity"].str.startswith("rewind")]
    columns = ["quantity", "choice", "batch_norm", "mean", "low", "high", "layer", "epoch"]
    return {tuple(row[:3]): row[3:] for row in table[columns].itertuples(index=False, name=None)}


def expect(rows, key, values, layer, epoch):
    mean, low, high, chosen, at = rows[key]
    np.testing.assert_allclose((mean, low, high), summary.interval(values)[:3], atol=1e-12, err_msg=str(key))
    assert (chosen if layer else None, at) == (layer, epoch) and (layer is not None or pd.isna(chosen))


def test_proper_sets_by_hand(tables, rewind):
    rows = found(summary.headline(*tables, rewind=rewind))
    assert len(rows) == 15
    # What it is compared with is in the same table: no layer put back, all layers at their best epoch.
    expect(rows, ("rewind_none", "fixed", "none"), [0.5, 0.3], None, 3.5)
    expect(rows, ("rewind_all_best", "oracle", "none"), [0.99, 0.99], None, 1)
    expect(rows, ("rewind_all_best_minus_model_best_epoch", "oracle", "none"), [0.29, 0.39], None, 1)
    expect(rows, ("rewind_suffix_best", "oracle", "none"), [0.62, 0.4], "fc2", 1)
    expect(rows, ("rewind_suffix_best_minus_model_final", "oracle", "none"), [0.12, 0.1], "fc2", 1)
    expect(rows, ("rewind_suffix_best_minus_model_best_epoch", "oracle", "none"), [-0.37, -0.59], "fc2", 1)
    # Run 1 does best where nothing is put back, at its end.
    expect(rows, ("rewind_prefix_best", "oracle", "none"), [0.52, 0.3], "none x 1, fc1 x 1", 2)
    expect(rows, ("rewind_alone_best", "oracle", "none"), [0.55, 0.35], "fc1 x 1, output x 1", 1)


def test_what_is_chosen_on_held_out_labels_is_compared_with_early_stopping_on_them(tables, rewind):
    probes, history = tables
    held_out = rewind.assign(view="validation", value=1 - rewind["value"])
    early = history_rows([(d, m, e, 1 - v) for d, m, e, v in HISTORY], split="validation", labels="given")
    rows = found(summary.headline(probes, pd.concat([history, early]), rewind=pd.concat([rewind, held_out])))
    # The worst on test data is the best there: the end of run 0, where nothing is put back, fc2 at epoch 1 of run 1.
    expect(rows, ("rewind_suffix_best", "validation", "none"), [0.5, 0.4], "none x 1, fc2 x 1", 2.5)
    # Of all layers the end is best on held-out labels: 0.5 and 0.3.
    expect(rows, ("rewind_all_best", "validation", "none"), [0.5, 0.3], None, 3.5)
    gap = ("rewind_suffix_best_minus_model_best_epoch", "validation", "none")
    expect(rows, gap, [0.0, 0.1], "none x 1, fc2 x 1", 2.5)
    expect(rows, ("rewind_suffix_best", "oracle", "none"), [0.62, 0.4], "fc2", 1)
    assert len(rows) == 28


def test_only_saved_weights_on_test_examples_count(tables, rewind):
    others = [{"weights": "redrawn", "draw": 0}, {"view": "restored"}, {"metric": "loss"}]
    spare = [rewind.assign(value=1.0, **columns) for columns in others]
    empty = rewind.assign(view="permuted", value=np.nan, n=0)
    with_others = summary.headline(*tables, rewind=pd.concat([*spare, empty, rewind]))
    pd.testing.assert_frame_equal(with_others, summary.headline(*tables, rewind=rewind))
    assert rewind_accuracy(empty, view="permuted").empty


def test_ways_with_batch_norm_have_rows_and_lines_of_their_own(tables, rewind):
    ways = [rewind.assign(batch_norm="reestimated", value=rewind["value"] - 0.1), rewind.assign(batch_norm="rewound")]
    table = summary.headline(*tables, rewind=pd.concat(ways))
    rows = found(table)
    expect(rows, ("rewind_suffix_best", "oracle", "rewound"), [0.62, 0.4], "fc2", 1)
    expect(rows, ("rewind_suffix_best", "oracle", "reestimated"), [0.52, 0.3], "fc2", 1)
    # No value at the end, then the best one and its difference to early stopping with statistics treated alike: of two
    # runs, each.
    lines = [line.split() for line in summary.headline_text(table).splitlines()]
    (plain,) = [line for line in lines if line[:3] == ["rewound:", "last", "layers"]]
    (anew,) = [line for line in lines if line[:3] == ["rewound:", "last", "layers,"]]
    assert plain[3:] == ["-", "-", "62.0/40.0", "-37.0/-59.0"]
    assert anew[3:] == ["re-estimated", "-", "-", "52.0/30.0", "-37.0/-59.0"]


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_whole_sets_are_those_that_hold_every_layer(layers):
    names = list(range(1, layers + 1))
    for kind in ("alone", "prefix", "suffix"):
        table = pd.DataFrame([{**POINT, "kind": kind, "depth": depth} for depth in names])
        sets = {"alone": lambda d: {d}, "prefix": lambda d: set(range(1, d + 1))}
        sets["suffix"] = lambda d: set(range(d, layers + 1))
        wanted = [sets[kind](depth) == set(names) for depth in names]
        assert list(whole_sets(table)) == wanted


def test_a_network_of_one_layer_cannot_be_rewound_in_part(tables):
    kinds = ("alone", "prefix", "suffix")
    rows = [(d, last, last, kind, 1, 0.9) for d, last in ((0, 4), (1, 3)) for kind in kinds]
    found = set(summary.headline(*tables, rewind=rewind_rows(rows))["quantity"])
    assert {"rewind_none", "rewind_all_best"} <= found
    assert not {f"rewind_{kind}_best" for kind in kinds} & found


def test_a_rewind_table_of_other_trainings_is_refused(tables, rewind):
    with pytest.raises(ValueError, match=r"'data_seed': 1.*rewind has its last rows at epoch 5, but .* ends at 3"):
        summary.headline(*tables, rewind=rewind.assign(last_epoch=rewind["last_epoch"].replace(3, 5)))
