import frames
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from rows import curve, probe_rows

from latentgen import summary

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


def test_over_seeds_names_the_data_seeds_that_are_too_few_for_an_interval():
    """In their order, whatever that of the rows is; model seeds of each averaged."""
    values = {1: {7: 0.1}, 2: {9: 0.3, 4: 0.2}, 3: {5: 0.6, 3: 0.5, 8: 0.4}, 4: {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}}
    rows = [
        (seed, own, epoch, value + 0.01 * own)
        for epoch, of in values.items()
        for seed, value in of.items()
        for own in (0, 2)
    ]
    table = summary.over_seeds(curve(rows), [*summary.GRID_POINT, "epoch"]).set_index("epoch")
    assert list(table["n"]) == [1, 2, 3, 4] and summary.FEWEST == 4
    none = float("nan")
    wanted = [[none] * 3, [0.21, 0.31, none], [0.51, 0.61, 0.41], [none] * 3]
    np.testing.assert_allclose(table[summary.RUNS].to_numpy(), wanted)


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
