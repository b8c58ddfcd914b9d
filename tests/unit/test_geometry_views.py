"""Which examples make up the manifolds of a view, and what wide layers are projected with."""

import numpy as np
import pytest
import torch

from latentgen.geometry.projection import BLOCK, Projection
from latentgen.geometry.views import VIEWS, views
from latentgen.labels import RunLabels

# Two classes. Training examples 0-9 are right, 10-19 wrong, 20-23 held out (two of them wrong).
TRUE = np.array([0, 1] * 10 + [0, 1, 0, 1])
GIVEN = np.where((np.arange(24) >= 10) & (np.arange(24) < 22), 1 - TRUE, TRUE)
LABELS = RunLabels(GIVEN, TRUE, np.arange(20), np.arange(20, 24), GIVEN != TRUE)
TEST = np.array([0, 0, 0, 1, 1, 1, 1])


def by_name(labels=LABELS, test=TEST, points=50, seed=0):
    found = views(labels, test, 2, points, seed)
    assert [view.name for view in found] == list(VIEWS)
    (size,) = {view.examples.shape[1] for view in found if view.n}
    return {view.name: view for view in found}, size


def test_each_view_has_its_examples_grouped_by_its_labels():
    found, size = by_name()
    assert size == 3  # class 0 of the test set is the smallest class of all views
    expected = {"unpermuted": (range(10), GIVEN), "permuted": (range(10, 20), GIVEN), "restored": (range(10, 20), TRUE)}
    for name, (members, labels) in expected.items():
        view = found[name]
        assert (view.split, view.examples.shape, view.n) == ("train", (2, 3), 6)
        assert set(view.examples.ravel()) <= set(members)
        assert [set(labels[row]) for row in view.examples] == [{0}, {1}]
    assert found["test"].split == "test"
    assert [set(TEST[row]) for row in found["test"].examples] == [{0}, {1}]


def test_examples_are_distinct_fixed_by_the_seed_and_nested_in_the_number_of_points():
    many, _ = by_name(test=np.repeat([0, 1], 9), points=5)
    few, _ = by_name(test=np.repeat([0, 1], 9), points=2)
    again, _ = by_name(test=np.repeat([0, 1], 9), points=5)
    other, _ = by_name(test=np.repeat([0, 1], 9), points=5, seed=1)
    for name, view in many.items():
        assert len(set(view.examples.ravel())) == view.n == 10
        assert (view.examples == again[name].examples).all()
        assert (view.examples[:, :2] == few[name].examples).all()
    assert any((view.examples != other[name].examples).any() for name, view in many.items())


def test_views_are_drawn_apart():
    """Views with equally many members would otherwise take the same places among them."""
    right = np.repeat([0, 1], 20)
    labels = RunLabels(
        np.tile(right, 2), np.concatenate([right, 1 - right]), np.arange(80), np.arange(0), np.arange(80) >= 40
    )
    found, _ = by_name(labels, test=right, points=10)
    unpermuted, permuted = (found[name].examples for name in ("unpermuted", "permuted"))
    assert (unpermuted < 40).all() and (permuted >= 40).all()
    assert not (unpermuted == permuted - 40).all()


def test_a_small_class_is_named_where_it_bounds_the_points(caplog):
    by_name(points=5)
    assert "view test bounds the points of all views: class 0 has 3 examples" in caplog.text
    caplog.clear()
    by_name(points=3)
    assert not caplog.text


def test_views_without_wrong_labels_are_empty_and_do_not_shrink_the_others():
    found, size = by_name(RunLabels(TRUE, TRUE, np.arange(20), np.arange(20, 24), np.zeros(24, bool)))
    assert size == 3
    assert [found[name].n for name in VIEWS] == [6, 0, 0, 6]


def test_a_view_with_a_class_of_one_example_counts_as_empty():
    given = TRUE.copy()
    given[[0, 2, 1]] = 1 - given[[0, 2, 1]]  # given 1: examples 0 and 2; given 0: example 1
    found, size = by_name(RunLabels(given, TRUE, np.arange(20), np.arange(20, 24), given != TRUE))
    assert size == 3
    assert [found[name].n for name in VIEWS] == [6, 0, 0, 6]


def test_projection_is_a_product_with_rows_of_norm_one_that_keeps_lengths_on_average():
    project = Projection(40, 0, torch.device("cpu"))
    width = BLOCK + 300
    matrix = project(torch.eye(width)).numpy()  # (features in, features out)
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=0), np.sqrt(width / 40), rtol=1e-5)
    x = torch.randn(200, width, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(project(x), x.numpy() @ matrix, atol=1e-3)
    # Squared lengths average 40 squares: each has a relative standard deviation of sqrt(2 / 40).
    ratio = (project(x).square().sum(1) / x.square().sum(1)).numpy()
    assert abs(ratio.mean() - 1) < 0.1
    assert ratio.std() == pytest.approx(np.sqrt(2 / 40), rel=0.3)


def test_projection_depends_on_the_seed_alone_and_leaves_narrow_layers():
    wide, narrow = torch.ones(1, 3 * BLOCK), torch.ones(1, BLOCK + 1)
    first, second = (Projection(8, 0, torch.device("cpu")) for _ in range(2))
    of_wide, of_narrow = first(wide), first(narrow)
    assert torch.equal(second(narrow), of_narrow) and torch.equal(second(wide), of_wide)
    assert not torch.equal(Projection(8, 1, torch.device("cpu"))(wide), of_wide)
    assert torch.equal(first(torch.ones(2, 8)), torch.ones(2, 8))
