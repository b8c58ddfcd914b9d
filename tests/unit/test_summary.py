import frames
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from latentgen import summary

POINT = {"dataset": "digits", "model": "mlp", "noise": "uniform", "level": 0.6}


def curve(rows, **columns):
    """Rows of (data seed, model seed, epoch, value) at one grid point."""
    table = pd.DataFrame(rows, columns=["data_seed", "model_seed", "epoch", "value"])
    return table.assign(**POINT, **columns)


def probe_rows(rows, *, split="test", labels="true", probe="masc"):
    """Rows of (data seed, model seed, epoch, depth, value); layers are called layer0, layer1, ..."""
    table = pd.DataFrame(rows, columns=["data_seed", "model_seed", "epoch", "depth", "value"])
    layer = "layer" + table["depth"].astype(str)
    fixed = {"fit_labels": "given", "split": split, "labels": labels, "metric": "accuracy"}
    return table.assign(**POINT, layer=layer, probe=probe, **fixed)


def history_rows(rows, *, split="test", labels="true"):
    return curve(rows, split=split, labels=labels, mode="evaluated", metric="accuracy")


def pick(table, quantity, choice, probe=None):
    rows = table[(table["quantity"] == quantity) & (table["choice"] == choice)]
    rows = rows[rows["probe"].isna() if probe is None else rows["probe"] == probe]
    assert len(rows) == 1
    return rows.iloc[0]


# --- interval -------------------------------------------------------------------------------------


def test_interval_by_hand():
    # mean 2, s = 1, n = 3: half width 4.302653 / sqrt(3), with t(0.975, 2) from printed tables.
    result = summary.interval([1.0, 2.0, 3.0])
    assert result.n == 3
    assert result.mean == pytest.approx(2.0)
    assert result.high - 2.0 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert 2.0 - result.low == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12).filter(lambda x: np.std(x) > 1e-6))
def test_interval_is_that_of_a_t_test(values):
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    result = summary.interval(values)
    np.testing.assert_allclose([result.low, result.high], expected, rtol=1e-9, atol=1e-12)


def test_interval_of_one_value_has_no_bounds():
    result = summary.interval([0.7])
    assert (result.mean, result.n) == (0.7, 1)
    assert np.isnan(result.low) and np.isnan(result.high)


@pytest.mark.parametrize("values", [[], [0.1, np.nan], [0.1, np.inf], [[0.1, 0.2]]])
def test_interval_refuses(values):
    with pytest.raises(ValueError, match="finite values"):
        summary.interval(values)


def test_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(4000, 4))
    hits = [low <= 0 <= high for _, low, high, _ in map(summary.interval, draws)]
    # Binomial standard error 0.0034; four of them.
    assert np.mean(hits) == pytest.approx(0.95, abs=0.014)


# --- over_seeds -----------------------------------------------------------------------------------


def test_over_seeds_averages_model_seeds_first():
    rows = curve([(0, 0, 5, 0.2), (0, 1, 5, 0.4), (0, 2, 5, 0.6), (1, 0, 5, 0.8), (2, 0, 5, 0.9)])
    result = summary.over_seeds(rows, [*summary.GRID_POINT, "epoch"]).iloc[0]
    expected = summary.interval([0.4, 0.8, 0.9])
    assert (result["n"], result["n_runs"]) == (3, 5)
    np.testing.assert_allclose(result[["mean", "low", "high"]].astype(float), expected[:3])


def test_over_seeds_agrees_with_interval_group_by_group():
    probes, _ = frames.grid(levels=(0.2, 0.6), schedule=(0, 1, 4), early=False, model_seeds=(0, 1))
    rows = summary.probe_accuracy(probes, "masc")
    by = [*summary.GRID_POINT, "layer", "epoch"]
    result = summary.over_seeds(rows, by).set_index(by)
    groups = list(rows.groupby(by))
    assert len(groups) == len(result) > 20
    for key, group in groups:
        means = [seed["value"].mean() for _, seed in group.groupby("data_seed")]
        expected = summary.interval(means)
        np.testing.assert_allclose(result.loc[key, ["mean", "low", "high"]], expected[:3], rtol=1e-12)
        assert result.loc[key, "n"] == 5


def test_over_seeds_of_one_seed_has_null_bounds():
    result = summary.over_seeds(curve([(0, 0, 1, 0.5), (0, 1, 1, 0.7)]), summary.GRID_POINT).iloc[0]
    assert result["mean"] == pytest.approx(0.6)
    assert pd.isna(result["low"]) and pd.isna(result["high"])
    assert (result["n"], result["n_runs"]) == (1, 2)


@pytest.mark.parametrize("function", [summary.over_seeds, summary.carry_forward])
def test_nulls_and_duplicates_are_refused(function):
    with pytest.raises(ValueError, match="no value at .*'data_seed': 1"):
        function(curve([(0, 0, 1, 0.5), (1, 0, 1, np.nan)]), summary.GRID_POINT)
    with pytest.raises(ValueError, match="two rows for .*'data_seed': 1"):
        function(curve([(0, 0, 1, 0.5), (1, 0, 1, 0.5), (1, 0, 1, 0.6)]), summary.GRID_POINT)


# --- carry_forward --------------------------------------------------------------------------------


def test_a_stopped_run_keeps_its_last_value_and_its_own_stop_epoch_goes():
    # Run 0 is saved at 0, 10, 20, 30; run 1 stops at 13, between saved epochs.
    rows = curve([(0, 0, e, 0.1 * e) for e in (0, 10, 20, 30)] + [(1, 0, 0, 5.0), (1, 0, 10, 6.0), (1, 0, 13, 7.0)])
    result = summary.carry_forward(rows, summary.GRID_POINT)
    assert list(result[result["data_seed"] == 0]["epoch"]) == [0, 10, 20, 30]
    stopped = result[result["data_seed"] == 1]
    assert list(stopped["epoch"]) == [0, 10, 20, 30]
    assert list(stopped["value"]) == [5.0, 6.0, 7.0, 7.0]
    assert list(stopped["carried"]) == [False, False, True, True]
    assert not result[result["data_seed"] == 0]["carried"].any()
    counts = summary.over_seeds(result, [*summary.GRID_POINT, "epoch"])
    assert list(counts["n_measured"]) == [2, 2, 1, 1]
    assert list(counts["n_runs"]) == [2, 2, 2, 2]
    assert list(counts["carried"]) == [False, False, True, True]


def test_the_last_epoch_of_the_longest_run_stays_though_off_the_schedule():
    rows = curve([(0, 0, e, e) for e in (0, 10, 20, 23)] + [(1, 0, e, e) for e in (0, 10, 17)])
    result = summary.carry_forward(rows, summary.GRID_POINT)
    assert list(result[result["data_seed"] == 1]["epoch"]) == [0, 10, 20, 23]
    assert list(result[result["data_seed"] == 1]["value"]) == [0, 10, 17, 17]


def test_one_run_is_returned_as_it_is():
    rows = curve([(0, 0, e, e / 7) for e in (0, 3, 11)])
    result = summary.carry_forward(rows, summary.GRID_POINT)
    assert list(result["epoch"]) == [0, 3, 11]
    assert list(result["value"]) == [0, 3 / 7, 11 / 7]
    assert not result["carried"].any()


def test_curves_of_different_length_do_not_touch_one_another():
    short, long = curve([(0, 0, 0, 1.0), (0, 0, 5, 2.0)]), curve([(0, 0, 0, 3.0), (0, 0, 9, 4.0)])
    both = pd.concat([short.assign(level=0.0), long.assign(level=0.2)])
    result = summary.carry_forward(both, summary.GRID_POINT)
    assert result[["level", "epoch", "value"]].values.tolist() == [
        [0, 0, 1],
        [0, 5, 2],
        [0.2, 0, 3],
        [0.2, 9, 4],
    ]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.sets(st.integers(0, 40), min_size=2, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_carry_forward_against_a_loop(stops, schedule, seed):
    rng = np.random.default_rng(seed)
    runs = {}
    for d, stop in enumerate(stops):
        runs[d] = {e: rng.random() for e in sorted({0, *schedule, stop}) if e <= stop}
    rows = curve([(d, 0, e, v) for d, run in runs.items() for e, v in run.items()])
    expected = []
    for d, run in runs.items():
        for e in sorted({e for other in runs.values() for e in other}):
            if all(e in other or e > max(other) for other in runs.values()):
                last = max(k for k in run if k <= e)
                expected.append((d, e, run[last], e not in run))
    result = summary.carry_forward(rows.sample(frac=1, random_state=0), summary.GRID_POINT)
    assert list(result[["data_seed", "epoch", "value", "carried"]].itertuples(index=False, name=None)) == expected


def test_no_zigzag_from_runs_that_stop_off_the_schedule():
    """Rising runs of different height: their mean never falls, though each adds an epoch of its own."""
    runs = [(d, 0, e, d + e / 100) for d, stop in enumerate((13, 24, 37, 50)) for e in (0, 10, 20, 30, 40, 50, stop)]
    rows = curve(sorted({(d, m, e, v) for d, m, e, v in runs if e <= (13, 24, 37, 50)[d]}))
    result = summary.carry_forward(rows, summary.GRID_POINT)
    means = summary.over_seeds(result, [*summary.GRID_POINT, "epoch"])
    assert list(means["epoch"]) == [0, 10, 20, 30, 40, 50]
    assert (np.diff(means["mean"]) > 0).all()


# --- difference -----------------------------------------------------------------------------------


def test_difference_is_paired_within_runs():
    masc = probe_rows([(0, 0, 5, 1, 0.50), (1, 0, 5, 1, 0.90)])
    velpic = probe_rows([(1, 0, 5, 1, 0.93), (0, 0, 5, 1, 0.51), (2, 0, 5, 1, 0.1)], probe="velpic")
    result = summary.difference(velpic, masc, [*summary.RUN, "epoch", "layer"])
    assert dict(zip(result["data_seed"], result["value"], strict=True)) == pytest.approx({0: 0.01, 1: 0.03})
    with pytest.raises(ValueError, match="one-to-one|unique"):
        summary.difference(velpic, pd.concat([masc, masc]), [*summary.RUN, "epoch", "layer"])


# --- headline -------------------------------------------------------------------------------------


@pytest.fixture
def small():
    """Two data seeds; layer0 is better on the mean at the end, layer1 in run 1; run 1 stops at epoch 3."""
    history = history_rows(
        [(0, 0, 0, 0.1), (0, 0, 1, 0.9), (0, 0, 2, 0.6), (0, 0, 4, 0.5)]
        + [(1, 0, 0, 0.2), (1, 0, 1, 0.7), (1, 0, 2, 0.8), (1, 0, 3, 0.3)]
    )
    probes = probe_rows(
        [(0, 0, 0, 0, 0.30), (0, 0, 0, 1, 0.45), (0, 0, 4, 0, 0.90), (0, 0, 4, 1, 0.70)]
        + [(1, 0, 0, 0, 0.20), (1, 0, 0, 1, 0.25), (1, 0, 3, 0, 0.60), (1, 0, 3, 1, 0.66)]
    )
    return probes, history


def test_headline_by_hand(small):
    table = summary.headline(*small)
    expected = [
        ("model_final", "fixed", None, [0.5, 0.3], None, 3.5),
        ("model_best_epoch", "oracle", None, [0.9, 0.8], None, 1.5),
        ("probe_final_best_layer", "oracle", "masc", [0.9, 0.6], "layer0", 3.5),
        ("probe_final_best_layer_minus_model_final", "oracle", "masc", [0.4, 0.3], "layer0", 3.5),
        ("probe_final_last_layer", "fixed", "masc", [0.7, 0.66], "layer1", 3.5),
        ("probe_initial_best_layer", "oracle", "masc", [0.45, 0.25], "layer1", 0),
        ("probe_initial_last_layer", "fixed", "masc", [0.45, 0.25], "layer1", 0),
    ]
    assert len(table) == len(expected)
    for quantity, choice, probe, values, layer, epoch in expected:
        row = pick(table, quantity, choice, probe)
        wanted = summary.interval(values)
        np.testing.assert_allclose(row[["mean", "low", "high"]].astype(float), wanted[:3], err_msg=quantity)
        assert row["layer"] == layer if layer else pd.isna(row["layer"])
        assert (row["epoch"], row["n"], row["n_runs"]) == (epoch, 2, 2)


def test_headline_chooses_honestly_on_held_out_given_labels(small):
    probes, history = small
    held_out = probe_rows(
        [(0, 0, 4, 0, 0.3), (0, 0, 4, 1, 0.4), (1, 0, 3, 0, 0.5), (1, 0, 3, 1, 0.5)],
        **{"split": "validation", "labels": "given"},
    )
    early = history_rows(
        [(0, 0, 0, 0.0), (0, 0, 1, 0.2), (0, 0, 2, 0.4), (0, 0, 4, 0.4)]
        + [(1, 0, 0, 0.0), (1, 0, 1, 0.6), (1, 0, 2, 0.5), (1, 0, 3, 0.1)],
        **{"split": "validation", "labels": "given"},
    )
    table = summary.headline(pd.concat([probes, held_out]), pd.concat([history, early]))
    # Run 0 picks layer1 (0.70); run 1 ties and takes the shallower layer0 (0.60).
    row = pick(table, "probe_final_best_layer", "validation", "masc")
    assert row["mean"] == pytest.approx(0.65)
    assert row["layer"] == "layer0 x 1, layer1 x 1"
    gain = pick(table, "probe_final_best_layer_minus_model_final", "validation", "masc")
    np.testing.assert_allclose(gain[["mean", "low", "high"]].astype(float), summary.interval([0.2, 0.3])[:3])
    # Run 0 stops at epoch 2 (the earliest of equals, test 0.6), run 1 at epoch 1 (test 0.7).
    stop = pick(table, "model_best_epoch", "validation")
    assert (stop["mean"], stop["epoch"]) == (pytest.approx(0.65), 1.5)
    # The oracle rows are what they were.
    pd.testing.assert_frame_equal(
        table[table["choice"] != "validation"].reset_index(drop=True), summary.headline(probes, history)
    )


def test_headline_refuses_runs_whose_ends_differ(small):
    probes, history = small
    with pytest.raises(ValueError, match=r"'data_seed': 0.*last probed epoch 4.*ends at 2"):
        summary.headline(probes, history[history["epoch"] < 4])
    with pytest.raises(ValueError, match="needs test accuracies"):
        summary.headline(probes[:0], history)


def test_headline_without_initialisation_says_nothing_of_it(small):
    probes, history = small
    table = summary.headline(probes[probes["epoch"] > 0], history)
    assert not table["quantity"].str.contains("initial").any()
    assert "\n0.6" in summary.headline_text(table)


def test_headline_ignores_other_labels_splits_and_modes(small):
    probes, history = small
    others = pd.concat(
        [
            probes.assign(fit_labels="true", value=1.0),
            probes.assign(split="train", value=1.0),
            probes.assign(labels="given", value=1.0),
        ]
    )
    spare = pd.concat([history.assign(mode="running", value=1.0), history.assign(metric="loss", value=9.0)])
    with_others = summary.headline(pd.concat([probes, others]), pd.concat([history, spare]))
    pd.testing.assert_frame_equal(with_others, summary.headline(probes, history))


def test_headline_text_states_what_the_table_holds(small):
    text = summary.headline_text(summary.headline(*small))
    lines = text.splitlines()
    assert lines[0] == "digits / mlp, uniform noise, 2 data seeds"
    # Half widths of two values: t(0.975, 1) = 12.706 times half their distance.
    cells = [
        "0.6",
        "40.0+/-127.1",
        "85.0+/-63.5",
        "masc",
        "75.0+/-190.6",
        "layer0",
        "35.0+/-127.1",
        "+35.0+/-63.5",
    ]
    assert lines[2].split() == cells
    assert "* oracle" in text


@pytest.mark.parametrize("validation", [False, True])
def test_headline_text_is_narrow_plain_ascii(validation):
    probes, history = frames.grid(schedule=(0, 1, 10), validation=validation)
    table = summary.headline(probes, history)
    text = summary.headline_text(table)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100
    assert ("honest layer" in text) is validation
    # One line for each level and probe of both models.
    assert sum("+/-" in line for line in text.splitlines()[:-4]) == 2 * 6 * 3


def test_headline_text_of_one_seed_has_no_interval(small):
    probes, history = small
    one = summary.headline(probes[probes["data_seed"] == 0], history[history["data_seed"] == 0])
    line = summary.headline_text(one).splitlines()[2]
    assert line.split() == ["0.6", "50.0", "90.0", "masc", "90.0", "layer0", "45.0", "+40.0"]
