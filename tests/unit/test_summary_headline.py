"""The headline table: by hand, against a slow second computation, and in words."""

import frames
import frames_rewinding
import numpy as np
import pandas as pd
import pytest
from rows import curve, history_rows, probe_rows
from slow_headline import slow_headline

from latentgen import summary

pytestmark = pytest.mark.slow


def pick(table, quantity, choice, probe=None):
    rows = table[(table["quantity"] == quantity) & (table["choice"] == choice)]
    rows = rows[rows["probe"].isna() if probe is None else rows["probe"] == probe]
    assert len(rows) == 1
    return rows.iloc[0]


#: Columns of the transfer table that tell the published edit from others.
OTHER_READOUTS = {"head": "new", "rows": "mean", "norm": "original", "mix": 0.5, "split": "train", "labels": "given"}


def transfer_rows(values, **columns):
    """(data seed, model seed, epoch, value) of VeLPIC's axes with zero bias on the last layer."""
    variant = {"head": "replaced", "rows": "axis", "norm": "unit", "mix": 1.0, "bias": "zero"}
    named = {"layer": "layer1", "depth": 1, "split": "test", "labels": "true", "metric": "accuracy"}
    return curve(values, **named).assign(**{**variant, **columns})


def edit_rows(values, edit_epoch=1, **columns):
    return history_rows(values).assign(edit_epoch=edit_epoch, layer="layer1", **columns)


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
        ("model_final_minus_model_best_epoch", "oracle", None, [-0.4, -0.5], None, 3.5),
        ("model_best_epoch", "oracle", None, [0.9, 0.8], None, 1.5),
        ("probe_final_best_layer", "oracle", "masc", [0.9, 0.6], "layer0", 3.5),
        ("probe_final_best_layer_minus_model_final", "oracle", "masc", [0.4, 0.3], "layer0", 3.5),
        ("probe_final_best_layer_minus_model_best_epoch", "oracle", "masc", [0.0, -0.2], "layer0", 3.5),
        # Layer0 has 0.90 and 0.60 at best, at the end; layer1 0.70 and 0.66.
        ("probe_best_epoch_best_layer", "oracle", "masc", [0.9, 0.6], "layer0", 3.5),
        ("probe_best_epoch_best_layer_minus_model_final", "oracle", "masc", [0.4, 0.3], "layer0", 3.5),
        ("probe_best_epoch_best_layer_minus_model_best_epoch", "oracle", "masc", [0.0, -0.2], "layer0", 3.5),
        ("probe_final_last_layer", "fixed", "masc", [0.7, 0.66], "layer1", 3.5),
        ("probe_final_last_layer_minus_model_final", "fixed", "masc", [0.2, 0.36], "layer1", 3.5),
        ("probe_final_last_layer_minus_model_best_epoch", "oracle", "masc", [-0.2, -0.14], "layer1", 3.5),
        ("probe_initial_best_layer", "oracle", "masc", [0.45, 0.25], "layer1", 0),
        ("probe_initial_last_layer", "fixed", "masc", [0.45, 0.25], "layer1", 0),
    ]
    assert len(table) == len(expected)
    for quantity, choice, probe, values, layer, epoch in expected:
        row = pick(table, quantity, choice, probe)
        wanted = summary.interval(values)
        np.testing.assert_allclose(row[["mean", "low", "high"]].astype(float), wanted[:3], atol=1e-12, err_msg=quantity)
        assert row["layer"] == layer if layer else pd.isna(row["layer"])
        assert (row["epoch"], row["n"], row["n_runs"]) == (epoch, 2, 2)
        assert (row["fit_labels"], row["batch_norm"]) == ("given", "running") if probe else pd.isna(row["fit_labels"])


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
    # The probe goes where held-out accuracy is highest over epochs and layers: what is held out at the end alone.
    chosen = pick(table, "probe_best_epoch_best_layer", "validation", "masc")
    assert (chosen["mean"], chosen["layer"]) == (pytest.approx(0.65), "layer0 x 1, layer1 x 1")
    # What was chosen on held-out labels is compared with the network stopped on them: 0.7 - 0.6, 0.6 - 0.7.
    early = pick(table, "probe_final_best_layer_minus_model_best_epoch", "validation", "masc")
    np.testing.assert_allclose(
        early[["mean", "low", "high"]].astype(float), summary.interval([0.1, -0.1])[:3], atol=1e-12
    )
    # What is fixed is compared with both: 0.70 - 0.6, 0.66 - 0.7.
    early = pick(table, "probe_final_last_layer_minus_model_best_epoch", "validation", "masc")
    assert early["mean"] == pytest.approx(0.03)
    # The other rows are what they were.
    pd.testing.assert_frame_equal(
        table[table["choice"] != "validation"].reset_index(drop=True), summary.headline(probes, history)
    )


def test_headline_refuses_runs_whose_ends_differ(small):
    probes, history = small
    with pytest.raises(ValueError, match=r"'data_seed': 0.*probe 'masc' has its last rows at epoch 4.*ends at 2"):
        summary.headline(probes, history[history["epoch"] < 4])
    with pytest.raises(ValueError, match="probes: none has a test accuracy .* add test to the score"):
        summary.headline(probes[:0], history)
    with pytest.raises(ValueError, match="made of a table 'embeddings'; there are probes, history, transfer"):
        summary.headline_of([{"probes": probes, "history": history, "embeddings": history}], ["masc"])


def test_headline_without_initialisation_says_nothing_of_it(small):
    probes, history = small
    table = summary.headline(probes[probes["epoch"] > 0], history)
    assert not table["quantity"].str.contains("initial").any()
    assert "\n0.6" in summary.headline_text(table)


def test_headline_ignores_other_splits_labels_and_modes(small):
    probes, history = small
    others = pd.concat([probes.assign(split="train", value=1.0), probes.assign(labels="given", value=1.0)])
    spare = pd.concat([history.assign(mode="running", value=1.0), history.assign(metric="loss", value=9.0)])
    with_others = summary.headline(pd.concat([probes, others]), pd.concat([history, spare]))
    pd.testing.assert_frame_equal(with_others, summary.headline(probes, history))


def test_probes_fitted_on_other_labels_stand_beside_the_rest_and_say_so(small):
    probes, history = small
    true = probes.assign(probe="masc-true", fit_labels="true", value=probes["value"] + 0.05)
    table = summary.headline(pd.concat([probes, true]), history)
    assert set(table.loc[table["probe"] == "masc-true", "fit_labels"]) == {"true"}
    given = table[table["fit_labels"].isna() | (table["fit_labels"] == "given")].reset_index(drop=True)
    pd.testing.assert_frame_equal(given, summary.headline(probes, history))
    assert "masc-true [true]" in summary.headline_text(table)


# --- interventions --------------------------------------------------------------------------------


def test_transfer_by_hand(small):
    probes, history = small
    rows = [(0, 0, 0, 0.1), (0, 0, 2, 0.8), (0, 0, 4, 0.7), (1, 0, 0, 0.2), (1, 0, 3, 0.66)]
    transfer = transfer_rows(rows)
    spare = [transfer_rows(rows, **{key: value, "value": 1.0}) for key, value in OTHER_READOUTS.items()]
    table = summary.headline(probes, history, transfer=pd.concat([transfer, *spare]))
    expected = [
        ("transfer_final", "fixed", [0.7, 0.66], 3.5),
        ("transfer_final_minus_model_final", "fixed", [0.2, 0.36], 3.5),
        ("transfer_final_minus_model_best_epoch", "oracle", [-0.2, -0.14], 3.5),
        ("transfer_best_epoch", "oracle", [0.8, 0.66], 2.5),
        ("transfer_best_epoch_minus_model_final", "oracle", [0.3, 0.36], 2.5),
        ("transfer_best_epoch_minus_model_best_epoch", "oracle", [-0.1, -0.14], 2.5),
    ]
    found = table[table["quantity"].str.startswith("transfer")]
    assert len(found) == len(expected)
    for quantity, choice, values, epoch in expected:
        row = pick(found, quantity, choice)
        wanted = summary.interval(values)
        np.testing.assert_allclose(row[["mean", "low", "high"]].astype(float), wanted[:3], atol=1e-12, err_msg=quantity)
        assert (row["epoch"], row["layer"], row["bias"], row["fit_labels"]) == (epoch, "layer1", "zero", "given")
    pd.testing.assert_frame_equal(
        table[~table["quantity"].str.startswith("transfer")].reset_index(drop=True), summary.headline(probes, history)
    )


def test_a_transfer_table_that_ends_elsewhere_is_refused(small):
    with pytest.raises(ValueError, match="transfer has its last rows at epoch 2, but the history ends at 4"):
        summary.headline(*small, transfer=transfer_rows([(0, 0, 0, 0.1), (0, 0, 2, 0.8)]))


def test_edits_by_hand(small):
    edit = pd.concat(
        [
            edit_rows([(0, 0, 1, 0.9), (0, 0, 5, 0.6), (1, 0, 1, 0.7), (1, 0, 5, 0.5)], rows="axis", bias="zero"),
            edit_rows([(0, 0, 1, 0.9), (0, 0, 5, 0.4), (1, 0, 1, 0.7), (1, 0, 5, 0.45)], rows="none", bias="kept"),
            # Run 1 had stopped before epoch 4, and a class-mean edit is no concern of the table.
            edit_rows([(0, 0, 4, 0.5), (0, 0, 5, 0.55)], rows="axis", bias="zero", edit_epoch=4),
            edit_rows([(0, 0, 4, 0.5), (0, 0, 5, 0.52)], rows="none", bias="kept", edit_epoch=4),
            edit_rows([(0, 0, 4, 0.5), (0, 0, 5, 0.99)], rows="mean", bias="zero", edit_epoch=4),
        ]
    )
    table = summary.headline(*small, edit=edit)
    expected = [
        (1, "edit_final", "fixed", [0.6, 0.5], "zero"),
        (1, "edit_final_minus_model_final", "fixed", [0.1, 0.2], "zero"),
        (1, "edit_final_minus_model_best_epoch", "oracle", [-0.3, -0.3], "zero"),
        (1, "edit_final_minus_control", "fixed", [0.2, 0.05], "zero"),
        (1, "edit_control_final", "fixed", [0.4, 0.45], None),
        (1, "edit_control_final_minus_model_final", "fixed", [-0.1, 0.15], None),
        (1, "edit_control_final_minus_model_best_epoch", "oracle", [-0.5, -0.35], None),
        (4, "edit_final", "fixed", [0.55], "zero"),
        (4, "edit_final_minus_control", "fixed", [0.03], "zero"),
        (4, "edit_control_final", "fixed", [0.52], None),
    ]
    found = table[table["quantity"].str.startswith("edit")]
    assert len(found) == 14
    for edit_epoch, quantity, choice, values, bias in expected:
        row = pick(found[found["edit_epoch"] == edit_epoch], quantity, choice)
        wanted = summary.interval(values)
        np.testing.assert_allclose(row[["mean", "low", "high"]].astype(float), wanted[:3], atol=1e-12, err_msg=quantity)
        assert (row["epoch"], row["n"], row["layer"]) == (5, len(values), "layer1")
        assert row["bias"] == bias if bias else pd.isna(row["bias"])


def test_relabelling_by_hand(small):
    final = history_rows([(0, 0, 0, 0.2), (0, 0, 6, 0.75), (1, 0, 0, 0.1), (1, 0, 3, 0.65)])
    right = history_rows([(0, 0, 0, 0.8), (1, 0, 0, 0.7)], split="train").assign(mode="relabelling")
    right = pd.concat([right, right.assign(labels="given", value=0.5)]).assign(metric="label_accuracy")
    relabel = pd.concat([right, final]).assign(from_epoch=4, probe="masc", layer="layer1")
    table = summary.headline(*small, relabel=relabel)
    expected = [
        ("relabel_label_accuracy", "fixed", [0.8, 0.7], 0),
        ("relabel_final", "fixed", [0.75, 0.65], 4.5),
        ("relabel_final_minus_model_final", "fixed", [0.25, 0.35], 4.5),
        ("relabel_final_minus_model_best_epoch", "oracle", [-0.15, -0.15], 4.5),
    ]
    assert table["quantity"].str.startswith("relabel").sum() == len(expected)
    for quantity, choice, values, epoch in expected:
        row = pick(table, quantity, choice, "masc")
        wanted = summary.interval(values)
        np.testing.assert_allclose(row[["mean", "low", "high"]].astype(float), wanted[:3], atol=1e-12, err_msg=quantity)
        assert (row["epoch"], row["layer"], row["fit_labels"]) == (epoch, "layer1", "given")
    text = summary.headline_text(table)
    assert "relabelled by masc, layer1 (75.0 % right)  75.0/65.0" in text
    # The probe itself has one line in each block still.
    assert sum(line.split()[3:4] == ["masc"] or line.split()[2:3] == ["masc"] for line in text.splitlines()) == 2


def test_empty_tables_of_interventions_count_as_none(small):
    results = frames.results([("digits", "mlp")], levels=(0.6,), data_seeds=(0,), schedule=(0, 1, 45))
    none = [getattr(results, name).iloc[:0] for name in ("transfer", "edit", "relabel", "rewind")]
    pd.testing.assert_frame_equal(summary.headline(*small, *none), summary.headline(*small))


@pytest.fixture(scope="module")
def everything():
    results = frames.results(
        [("digits", "mlp"), ("digits", "cnn")],
        **{"levels": (0.2, 0.6), "data_seeds": range(3), "model_seeds": (0, 1), "schedule": (0, 1, 2, 8, 30, 60)},
        **{
            "probes": ("masc", "velpic", "masc-true"),
            "validation": True,
            "edit_epochs": (1, 50),
            "edit_layers": ["fc1"],
        },
    )
    held_out = results.transfer[results.transfer["split"] == "test"].assign(split="validation", labels="given")
    held_out["value"] = held_out["value"] * 0.4 + np.random.default_rng(5).normal(0, 0.02, len(held_out))
    transfer = pd.concat([results.transfer, held_out])
    rewind = frames_rewinding.rewind(results.history)
    # As if one of the models had batch normalisation.
    both = [rewind[rewind["model"] == "cnn"].assign(batch_norm=way) for way in ("rewound", "reestimated")]
    rewind = pd.concat([rewind[rewind["model"] == "mlp"], *both])
    return results.probes, results.history, transfer, results.edit, results.relabel, rewind


@pytest.mark.parametrize("seed", range(3))
def test_headline_against_loops_over_runs(everything, seed):
    # Coarse values, so that equal ones occur and ties count; rows in any order.
    rng = np.random.default_rng(seed)
    shuffled = []
    for frame in everything:
        frame = frame.sample(frac=1, random_state=seed).sort_values(list(summary.GRID_POINT), kind="stable")
        shuffled.append(frame.assign(value=(frame["value"] + rng.normal(0, 0.02, len(frame))).round(2)))
    table = summary.headline(*shuffled)
    expected = slow_headline(*shuffled)
    table["way"] = table["batch_norm"].where(table["quantity"].str.startswith("rewind"))
    keys = ["model", "level", "probe", "bias", "edit_epoch", "way", "quantity", "choice", "layer"]
    found = {
        tuple(None if pd.isna(value) else value for value in row[:9]): row[9:]
        for row in table[[*keys, "mean", "low", "high", "epoch", "n", "n_runs"]].itertuples(index=False, name=None)
    }
    assert len(found) == len(table) and set(found) == set(expected)
    for key, (values, epochs) in expected.items():
        by_seed = [np.mean([v for (d, _), v in values.items() if d == seed]) for seed in sorted({d for d, _ in values})]
        wanted = (*summary.interval(by_seed)[:3], np.mean(list(epochs.values())), len(by_seed), len(values))
        np.testing.assert_allclose(found[key], wanted, atol=1e-9, err_msg=str(key))


# --- in words -------------------------------------------------------------------------------------


def test_headline_text_states_what_the_table_holds(small):
    text = summary.headline_text(summary.headline(*small))
    lines = text.splitlines()
    assert lines[0] == "digits / mlp, uniform noise, 2 data seeds"
    # Of two data seeds each stands for itself: their interval would be 12.706 times half their distance to either side.
    cells = ["0.6", "50.0/30.0", "90.0/80.0", "masc", "90.0/60.0", "layer0", "45.0/25.0", "+40.0/+30.0"]
    assert lines[2].split() == cells
    assert "* oracle" in text and "where n is 2, too few for an interval" in text


def test_headline_text_has_intervals_of_four_data_seeds(small):
    probes, history = (
        pd.concat([frame, frame.assign(data_seed=frame["data_seed"] + 2, value=frame["value"] + 0.01)])
        for frame in small
    )
    text = summary.headline_text(summary.headline(probes, history))
    final = summary.interval([0.5, 0.3, 0.51, 0.31])
    assert text.splitlines()[2].split()[1] == f"{100 * final.mean:.1f}+/-{100 * (final.high - final.mean):.1f}"
    assert "too few" not in text


@pytest.mark.parametrize("validation", [False, True])
def test_headline_text_is_narrow_plain_ascii(validation):
    probes, history = frames.grid(schedule=(0, 1, 10), validation=validation)
    table = summary.headline(probes, history)
    text = summary.headline_text(table)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 120
    assert ("honest layer" in text) is validation
    # One line for each level and probe of both models, in each of two blocks, or three with held-out labels.
    notes = text.splitlines().index(next(line for line in text.splitlines() if line.startswith("Test accuracy")))
    assert sum("+/-" in line for line in text.splitlines()[:notes]) == (2 + validation) * 2 * 6 * 3


def test_headline_text_of_everything_is_narrow(everything):
    text = summary.headline_text(summary.headline(*everything))
    assert max(map(len, text.splitlines())) <= 132 and "+/-" not in text[: text.index("Test accuracy")]
    # Both models, two levels, with and without held-out labels; only the second has two ways with batch norm.
    for sets in ("single layer", "first layers", "last layers"):
        assert text.count(f"rewound: {sets}") == 2 * 2 * (1 + 2)
        assert text.count(f"rewound: {sets}, re-estimated") == 2 * 2


def test_headline_text_of_one_seed_has_no_interval(small):
    probes, history = small
    one = summary.headline(probes[probes["data_seed"] == 0], history[history["data_seed"] == 0])
    line = summary.headline_text(one).splitlines()[2]
    assert line.split() == ["0.6", "50.0", "90.0", "masc", "90.0", "layer0", "45.0", "+40.0"]
