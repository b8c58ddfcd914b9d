import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentgen import noise

LEVELS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def labels_of(n, n_classes=10, seed=0):
    return np.random.default_rng(seed).integers(0, n_classes, n)


@pytest.mark.parametrize("kind", noise.KINDS)
def test_level_zero_keeps_all_and_one_selects_all(kind):
    labels = labels_of(1000)
    none, everything = noise.corrupt(labels, 0.0, kind), noise.corrupt(labels, 1.0, kind)
    assert np.array_equal(none.given, labels) and not none.selected.any()
    assert everything.selected.all() and not np.array_equal(everything.given, labels)


@pytest.mark.parametrize("kind", noise.KINDS)
@given(level=st.sampled_from(LEVELS), seed=st.integers(0, 2**32 - 1))
def test_unselected_examples_keep_their_label(kind, level, seed):
    labels = labels_of(300)
    given_labels, selected = noise.corrupt(labels, level, kind, 10, seed)
    assert np.array_equal(given_labels[~selected], labels[~selected])
    assert given_labels.min() >= 0 and given_labels.max() < 10


@given(seed=st.integers(0, 2**63 - 1), levels=st.lists(st.floats(0, 1), min_size=2, max_size=4))
def test_masks_and_labels_nest_for_our_kinds(seed, levels):
    labels = labels_of(200)
    for kind in ("uniform", "exclude_true"):
        low, high = (noise.corrupt(labels, level, kind, 10, seed) for level in (min(levels), max(levels)))
        assert not (low.selected & ~high.selected).any()
        assert np.array_equal(low.given[low.selected], high.given[low.selected])


def test_published_masks_nest_but_labels_do_not():
    labels = labels_of(5000)
    low, high = (noise.corrupt(labels, level, "ketha2026", 10, 42) for level in (0.4, 0.6))
    assert not (low.selected & ~high.selected).any()
    assert not np.array_equal(low.given[low.selected], high.given[low.selected])


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_fraction_of_wrong_labels(n_classes):
    n, level = 200_000, 0.6
    labels = labels_of(n, n_classes)
    for kind, expected in (
        ("uniform", level * (n_classes - 1) / n_classes),
        ("ketha2026", level * (n_classes - 1) / n_classes),
        ("exclude_true", level),
    ):
        wrong = (noise.corrupt(labels, level, kind, n_classes, 3).given != labels).mean()
        assert abs(wrong - expected) < 5 * np.sqrt(expected * (1 - expected) / n)


def test_exclude_true_never_gives_the_true_label_and_is_uniform_over_the_others():
    labels = np.full(90_000, 3)
    given_labels = noise.corrupt(labels, 1.0, "exclude_true", 10, 1).given
    counts = np.bincount(given_labels, minlength=10)
    assert counts[3] == 0
    assert abs(np.delete(counts, 3) - 10_000).max() < 5 * np.sqrt(10_000)


def test_published_draw_is_the_stated_sequence_of_calls():
    labels = labels_of(1000)
    rng = np.random.RandomState(42)
    mask = rng.rand(1000) <= 0.6
    expected = labels.copy()
    expected[mask] = rng.choice(10, mask.sum())
    result = noise.corrupt(labels, 0.6, "ketha2026", 10, 42)
    assert np.array_equal(result.given, expected) and np.array_equal(result.selected, mask)


def test_seeds_differ_and_repeat():
    labels = labels_of(1000)
    first, again, other = (noise.corrupt(labels, 0.5, n_classes=10, seed=seed).given for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.5}, r"\[0, 1\]"),
        ({"level": -0.1}, r"\[0, 1\]"),
        ({"level": float("nan")}, r"\[0, 1\]"),
        ({"kind": "unifrom"}, "uniform, exclude_true, ketha2026"),
        ({"n_classes": 5}, r"\[0, 5\)"),
        ({"kind": "exclude_true", "labels": np.zeros(3, int), "n_classes": 1}, "two classes"),
        ({"labels": np.zeros((2, 2), int)}, "one dimension"),
    ],
)
def test_refusals(change, message):
    arguments = {"labels": labels_of(50), "level": 0.5, "kind": "uniform", "n_classes": 10} | change
    with pytest.raises(ValueError, match=message):
        noise.corrupt(**arguments)


def test_hold_out_has_the_stated_size_and_nests():
    small, large = noise.hold_out(1000, 0.1, 7), noise.hold_out(1000, 0.3, 7)
    assert small.sum() == 100 and large.sum() == 300 and not (small & ~large).any()
    assert not noise.hold_out(1000, 0.0, 7).any()
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        noise.hold_out(10, 1.0, 0)
