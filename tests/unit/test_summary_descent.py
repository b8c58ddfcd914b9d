"""Dips over widths: by hand, by brute force, and by simulation of sweeps whose truth is known."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from rows import POINT

from latentgen import summary
from latentgen.summary.descent import deepest, dip, dips, sweep_accuracies

WIDTHS = 9
NOISE = 0.02
#: True accuracies over width that have no dip, and how often a test at 2.5 % on either side may call chance a dip.
WITHOUT = {
    "rising": (np.linspace(0.5, 0.9, WIDTHS), 0.01),
    "saturating": (np.minimum(np.linspace(0.5, 1.3, WIDTHS), 0.9), 0.05),
    "level": (np.full(WIDTHS, 0.8), 0.05),
    "falling": (np.linspace(0.9, 0.5, WIDTHS), 0.01),
    "falling, then level": (np.repeat([0.9, 0.5], [4, 5]), 0.1),
}
DIPPING = np.array([0.5, 0.7, 0.8, 0.78, 0.74, 0.72, 0.76, 0.82, 0.86])


def sweeps(truth, seeds, times=300):
    """Accuracies of shape (times, seeds, widths) around ``truth``."""
    return truth + np.random.default_rng(5).normal(0, NOISE, (times, seeds, len(truth)))


def depth(accuracy, places):
    i, j, k = places
    return accuracy[..., i] - accuracy[..., j], accuracy[..., k] - accuracy[..., j]


# --- the deepest dip ------------------------------------------------------------------------------


def test_the_deepest_dip_by_hand():
    assert deepest([0.2, 0.6, 0.5, 0.7, 0.4, 0.55]) == (3, 4, 5)  # min(0.3, 0.15), against min(0.1, 0.2) before it
    assert deepest([0.2, 0.8, 0.5, 0.7, 0.9]) == (1, 2, 4)


def test_the_deepest_dip_is_that_of_all_triples():
    for accuracy in np.random.default_rng(0).random((50, 7)):
        of_all = max(min(depth(accuracy, places)) for places in combinations(range(7), 3))
        i, j, k = deepest(accuracy)
        assert i < j < k and min(depth(accuracy, (i, j, k))) == of_all


@pytest.mark.parametrize("accuracy", [[0.1, 0.2], [[0.1, 0.2, 0.3]]])
def test_a_dip_takes_three_networks(accuracy):
    with pytest.raises(ValueError, match="three networks or more"):
        deepest(accuracy)


# --- its depth ------------------------------------------------------------------------------------


def test_each_seed_measures_what_the_others_chose():
    """By hand: seed 0 alone dips at the third place, so the two others measure there what no other seed chose."""
    accuracy = np.array([[0.8, 0.7, 0.1, 0.9], [0.8, 0.5, 0.7, 0.9], [0.8, 0.4, 0.7, 0.9]])
    # Without seed 0 the choice is (0, 1, 3), without the others (0, 2, 3): 0.45 or 0.4 is above 0.6 and 0.55.
    found = dip(accuracy)
    assert found.places == (0, 2, 3)
    drops, rises = [0.1, 0.1, 0.1], [0.2, 0.2, 0.2]
    np.testing.assert_allclose(found.drop, summary.interval(drops), atol=1e-12)
    np.testing.assert_allclose(found.rise, summary.interval(rises), atol=1e-12)
    assert found.real is True


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_test_nothing(seeds):
    found = dip(np.tile([0.8, 0.5, 0.9], (seeds, 1)))
    assert found.places == (0, 1, 2) and found.real is None
    assert np.isnan([*found.drop[:3], *found.rise[:3]]).all() and found.drop.n == found.rise.n == seeds


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("shape", WITHOUT)
def test_chance_is_rarely_called_a_dip(shape, seeds):
    truth, most = WITHOUT[shape]
    assert np.mean([dip(accuracy).real for accuracy in sweeps(truth, seeds)]) <= most


def test_choosing_and_measuring_on_the_same_seeds_calls_chance_a_dip_more_often():
    """What leaving seeds out is for."""
    same, left_out = [], []
    for accuracy in sweeps(WITHOUT["falling, then level"][0], 3, times=600):
        drop, rise = map(summary.interval, depth(accuracy, deepest(accuracy.mean(axis=0))))
        same.append(drop.low > 0 and rise.low > 0)
        left_out.append(dip(accuracy).real)
    assert np.mean(same) > 2 * np.mean(left_out)


def test_a_true_dip_is_found():
    found = [dip(accuracy) for accuracy in sweeps(DIPPING, 5)]
    assert np.mean([each.real for each in found]) > 0.95
    assert np.mean([each.places[1] for each in found]) == pytest.approx(5, abs=0.3)


def test_the_depth_is_unbiased_for_the_networks_chosen_and_that_of_the_same_seeds_is_not():
    truth = 0.8 + 0.25 * (DIPPING - 0.8)  # no deeper than the noise
    flattered, errors = [], []
    for accuracy in sweeps(truth, 4, times=600):
        others = [deepest(np.delete(accuracy, seed, axis=0).mean(axis=0)) for seed in range(4)]
        true = np.mean([depth(truth, places) for places in others], axis=0)
        found = dip(accuracy)
        errors.append([found.drop.mean, found.rise.mean] - true)
        mean, places = accuracy.mean(axis=0), deepest(accuracy.mean(axis=0))
        flattered.append(np.subtract(depth(mean, places), depth(truth, places)))
    for own, same_seeds in zip(np.transpose(errors), np.transpose(flattered), strict=True):
        assert abs(own.mean()) < 3 * own.std() / np.sqrt(len(own))
        assert same_seeds.mean() > 10 * same_seeds.std() / np.sqrt(len(same_seeds)) and same_seeds.mean() > NOISE / 4


# --- tables ---------------------------------------------------------------------------------------

MODELS = {"w4": 40, "w1": 10, "w2": 20}


def layers(models=MODELS):
    rows = [("digits", model, layer, half) for model, n in models.items() for layer, half in (("fc1", n - 3), ("o", 3))]
    return pd.DataFrame(rows, columns=["dataset", "model", "layer", "parameters"])


def history(curves):
    """(model, data seed, model seed) → accuracies at epochs 0, 1, …, on test examples; given labels have 0.1 more."""
    rows = []
    for (model, data_seed, model_seed), values in curves.items():
        for split, labels, mode, more in (
            ("test", "true", "evaluated", 0.0),
            ("train", "given", "evaluated", 0.1),
            ("train", "given", "running", 0.3),
            ("train", "true", "evaluated", 0.2),
        ):
            for epoch, value in enumerate(values):
                names = {**POINT, "model": model, "data_seed": data_seed, "model_seed": model_seed, "epoch": epoch}
                names |= {"split": split, "labels": labels, "mode": mode, "metric": "accuracy"}
                rows.append({**names, "value": value + more, "n": 10})
                rows.append({**names, "metric": "loss", "value": 9.0, "n": 10})
    return pd.DataFrame(rows)


def test_accuracies_of_a_sweep_by_hand():
    of_runs = {("w4", 0, 0): [0.1, 0.5, 0.5, 0.4], ("w1", 0, 0): [0.2, 0.3], ("other", 0, 0): [0.9, 0.9]}
    found = sweep_accuracies(history(of_runs), layers(), {"w4, w1, w2": list(MODELS)})
    assert (found[["dataset", "noise", "level"]] == [POINT[name] for name in ("dataset", "noise", "level")]).all(
        axis=None
    )
    columns = ["sweep", "model", "parameters", "measure", "choice", "epoch", "value"]
    assert found[columns].round(9).values.tolist() == [
        ["w4, w1, w2", "w1", 10, "test_best", "oracle", 1, 0.3],
        ["w4, w1, w2", "w1", 10, "test_last", "fixed", 1, 0.3],
        ["w4, w1, w2", "w1", 10, "train_last", "fixed", 1, 0.4],
        ["w4, w1, w2", "w4", 40, "test_best", "oracle", 1, 0.5],
        ["w4, w1, w2", "w4", 40, "test_last", "fixed", 3, 0.4],
        ["w4, w1, w2", "w4", 40, "train_last", "fixed", 3, 0.5],
    ]


def test_a_model_without_a_size_is_named():
    with pytest.raises(ValueError, match="layers table lacks the model 'w4' on 'digits'"):
        sweep_accuracies(history({("w4", 0, 0): [0.5]}), layers({"w1": 10}), {"all": ["w1", "w4"]})


def test_dips_are_of_seeds_that_have_every_model_and_of_means_over_model_seeds():
    ends = {0: (0.8, 0.5, 0.9), 1: (0.8, 0.6, 0.8), 2: (0.7, 0.6, 0.9)}  # w1, w2, w4
    curves = {
        (model, seed, of_model): [0.95, value + (0.02 if of_model else -0.02)]
        for seed, values in ends.items()
        for model, value in zip(("w1", "w2", "w4"), values, strict=True)
        for of_model in (0, 1)
    }
    lacking = {("w1", 3, 0): [0.1], ("w4", 3, 0): [0.1]}
    found = dips(sweep_accuracies(history(curves | lacking), layers(), {"all": list(MODELS)}))
    row = found.iloc[0]
    assert len(found) == 1 and row["n"] == 3 and row["real"] == (dip(np.array([*ends.values()])).real)
    assert row[["before", "bottom", "after"]].tolist() == ["w1", "w2", "w4"]
    for name, values in (("drop", [0.3, 0.2, 0.1]), ("rise", [0.4, 0.2, 0.3])):
        stated = row[[name, f"{name}_low", f"{name}_high"]].astype(float)
        np.testing.assert_allclose(stated, summary.interval(values)[:3])


def test_two_models_have_no_dip():
    curves = {(model, seed, 0): [0.5] for model in ("w1", "w2") for seed in range(3)}
    found = dips(sweep_accuracies(history(curves), layers(), {"all": list(MODELS)}))
    assert found.empty and "real" in found
