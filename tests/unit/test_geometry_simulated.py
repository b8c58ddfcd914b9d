"""Separability against Cover's counts, linear programs and a support vector machine; capacity against closed forms."""

from itertools import product
from math import comb, isnan

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import ortho_group
from sklearn.svm import SVC

from latentgen.geometry import simulated
from latentgen.geometry.simulated import separable, simulated_capacity

pytestmark = pytest.mark.slow


def cover(n_points, n_features):
    """Fraction of the dichotomies of points in general position that are separable (Cover 1965)."""
    return 2.0 ** (1 - n_points) * sum(comb(n_points - 1, k) for k in range(n_features))


def primal(points, labels):
    """Whether some w has labels_i (w . points_i) >= 1 for all i."""
    rows = points * labels[:, None]
    free = [(None, None)] * points.shape[1]
    return linprog(np.zeros(points.shape[1]), A_ub=-rows, b_ub=-np.ones(len(rows)), bounds=free).status == 0


def dual(points, labels):
    """Whether no a >= 0 with sum 1 balances labels_i points_i (Gordan's theorem)."""
    rows = points * labels[:, None]
    equations, right = np.vstack([rows.T, np.ones(len(rows))]), np.append(np.zeros(points.shape[1]), 1.0)
    return linprog(np.zeros(len(rows)), A_eq=equations, b_eq=right).status == 2


def clouds(n_manifolds, n_points, n_features, spread=1.0, seed=0):
    """Manifolds around Gaussian centres, spread along six axes of their own."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_manifolds, 1, n_features))
    axes = rng.standard_normal((n_manifolds, 6, n_features)) / np.sqrt(6)
    return centers + spread * rng.standard_normal((n_manifolds, n_points, 6)) @ axes


@pytest.mark.parametrize("n_points, n_features", [(5, 1), (6, 2), (8, 3), (9, 4), (7, 6), (5, 5), (4, 9)])
def test_all_dichotomies_of_points_as_counted_by_cover(n_points, n_features):
    points = np.random.default_rng(n_points).standard_normal((n_points, n_features))
    found = sum(separable(points, np.array(labels)) for labels in product([-1, 1], repeat=n_points))
    assert found == 2**n_points * cover(n_points, n_features)


@pytest.mark.parametrize("spread, n_features", [(0.5, 8), (1.0, 14), (1.5, 22)])
def test_manifolds_against_two_linear_programs(spread, n_features):
    answers = []
    for seed in range(25):
        points = clouds(8, 15, n_features, spread, seed).reshape(-1, n_features)
        labels = np.repeat(np.random.default_rng(seed).choice([-1, 1], 8), 15)
        answers.append(separable(points, labels))
        assert answers[-1] == primal(points, labels) == dual(points, labels)
    assert 0 < sum(answers) < 25


@pytest.mark.filterwarnings("ignore:Solver terminated early")  # where nothing separates, the machine never settles
def test_with_a_bias_against_a_support_vector_machine():
    answers = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        points, labels = 3 + rng.standard_normal((24, 10)), rng.permutation(np.repeat([-1, 1], 12))
        machine = SVC(kernel="linear", C=1e10, max_iter=100_000).fit(points, labels)
        answers.append(separable(np.column_stack([points, np.ones(24)]), labels))
        assert answers[-1] == (labels * machine.decision_function(points) > 0).all()
    assert 0 < sum(answers) < 25


@pytest.mark.parametrize(
    "points, labels, expected",
    [
        ([[1.0, 2.0]], [-1], True),
        ([[0.0, 0.0], [1.0, 2.0]], [1, 1], False),  # the origin is on no side
        ([[1.0, 2.0], [-1.0, -2.0]], [1, -1], True),
        ([[1.0, 2.0], [-1.0, -2.0]], [1, 1], False),
        ([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [1, 1, 1], False),  # half-plane, but only a closed one
        ([[1.0, 0.0], [-1.0, 1e-9], [0.0, 1.0]], [1, 1, 1], True),
        ([[1.0, 0.0], [-1.0, -1e-9], [0.0, 1.0]], [1, 1, 1], False),
        ([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [3.0, 3.0, 0.0]], [1, 1, 1], True),  # rank one
        ([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [3.0, 3.0, 0.0]], [1, -1, 1], False),
        ([[1e-120, 0.0], [1e120, 1e120]], [1, 1], True),
        ([[1.0, 0.0], [0.0, 1.0]], [0.1, -7.0], True),
    ],
)
def test_small_cases(points, labels, expected):
    assert separable(np.array(points), np.array(labels)) is expected


def test_small_integers_against_a_linear_program():
    # Equal, opposite, collinear and zero points, and half-spaces that only their closure makes whole.
    rng, answers = np.random.default_rng(0), []
    for _ in range(300):
        n_features, largest = rng.integers(1, 7), rng.integers(1, 4)
        points = rng.integers(-largest, largest + 1, (rng.integers(1, 3 * n_features + 2), n_features)).astype(float)
        points[:, 0] = np.abs(points[:, 0]) if rng.random() < 0.3 else points[:, 0]
        answers.append(separable(points, np.ones(len(points))))
        assert answers[-1] == primal(points, np.ones(len(points))), points
    assert 100 < sum(answers) < 200


@pytest.mark.parametrize("n_features", [10, 40, 130])
def test_a_point_with_both_labels_spoils_what_is_separable_otherwise(n_features):
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 1], 100)
    points = rng.standard_normal((100, n_features)) + 2 * labels[:, None]
    assert separable(points, labels)
    points, labels = np.vstack([points, points[:1]]), np.append(labels, -labels[0])
    assert not separable(points, labels)
    # Along a feature in which the two differ they can be told apart again.
    assert separable(np.column_stack([points, np.append(np.zeros(100), 1e-6)]), labels)


@pytest.mark.parametrize("n_features", [14, 40])
def test_dependent_features_and_linear_maps_change_nothing(n_features):
    rng = np.random.default_rng(1)
    answers = []
    for seed in range(20):
        points = clouds(8, 15, 14, 1.0, seed).reshape(-1, 14)
        labels = np.repeat(np.random.default_rng(seed).choice([-1, 1], 8), 15)
        answers.append(separable(points, labels))
        scales = np.logspace(0, -7, 14)[:, None]
        mapped = points @ ortho_group.rvs(14, random_state=rng) @ (scales * rng.standard_normal((14, n_features)))
        assert separable(mapped, labels) == answers[-1]
    assert 0 < sum(answers) < 20


def test_separable_leaves_its_arguments():
    points, labels = np.random.default_rng(0).standard_normal((9, 4)), np.array([1, -1, 1] * 3)
    before = points.copy(), labels.copy()
    separable(points, labels)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("n_points, n_features", [(20, 60), (30, 30), (50, 400)])
def test_points_against_cover(n_points, n_features):
    points = np.random.default_rng(3).standard_normal((n_points, 1, n_features))
    found = simulated_capacity(points, n_dichotomies=200)
    for n, fraction in zip(found.tried, found.fractions, strict=True):
        expected = cover(n_points, n)
        assert abs(fraction - expected) <= 4 * np.sqrt(expected * (1 - expected) / 200)
    assert found.interval[0] < 2 < found.interval[1]
    assert found.interval[0] < found.capacity < found.interval[1]
    assert found.capacity == n_points / found.n_features


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(5)
    results = [simulated_capacity(random.standard_normal((16, 1, 30)), 50, seed) for seed in range(60)]
    covered = sum(found.interval[0] <= 2 <= found.interval[1] for found in results)
    assert covered >= 51  # of 60 with 95 %: fewer once in 1,000
    sizes = [found.n_features for found in results]
    assert abs(np.mean(sizes) - 8) < 4 * np.std(sizes) / np.sqrt(60)


@pytest.mark.parametrize("n_manifolds, n_points", [(40, 3), (24, 6)])
def test_orthogonal_points_have_two_over_their_number(n_manifolds, n_points):
    # Projected they are independent Gaussian points, which manifolds that share a label leave as hard to separate.
    manifolds = np.eye(n_manifolds * n_points).reshape(n_manifolds, n_points, -1)
    found = simulated_capacity(manifolds, n_dichotomies=150)
    assert found.capacity == pytest.approx(2 / n_points, rel=0.05)


def test_fraction_at_the_crossing_against_a_loop_of_linear_programs():
    manifolds = clouds(10, 12, 60, spread=1.5)
    found = simulated_capacity(manifolds)
    above = int(np.ceil(found.n_features))
    points = manifolds.reshape(-1, 60)
    points = points - points.mean(axis=0)
    rng = np.random.default_rng(9)
    separated = [
        primal(points @ rng.standard_normal((60, above)), np.repeat(rng.choice([-1, 1], 10), 12)) for _ in range(150)
    ]
    ours = found.fractions[found.tried.index(above)]
    assert abs(np.mean(separated) - ours) < 4 * np.sqrt(0.25 / 150 + 0.25 / 100)


def test_the_search_ends_beside_the_crossing():
    found = simulated_capacity(clouds(12, 8, 80))
    assert list(found.tried) == sorted(set(found.tried))
    assert list(found.fractions) == sorted(found.fractions)
    fractions = dict(zip(found.tried, found.fractions, strict=True))
    below = int(np.ceil(found.n_features)) - 1
    assert fractions[below] < 0.5 <= fractions[below + 1]
    part = (0.5 - fractions[below]) / (fractions[below + 1] - fractions[below])
    assert found.n_features == pytest.approx(below + part)


def test_seeds_and_symmetries():
    manifolds = clouds(10, 8, 30)
    found = simulated_capacity(manifolds)
    assert simulated_capacity(list(manifolds)) == found
    assert simulated_capacity(manifolds, seed=1) != found
    assert simulated_capacity(4.0 * manifolds) == found
    assert simulated_capacity(manifolds + 5.0) == found
    # Points that a manifold holds twice add nothing to its hull.
    assert simulated_capacity(np.concatenate([manifolds, manifolds], axis=1)) == found
    turned = simulated_capacity(manifolds @ ortho_group.rvs(30, random_state=0))
    assert found.interval[0] < turned.capacity < found.interval[1]
    # In more features than points the points are rotated into their span first.
    wide = simulated_capacity(np.concatenate([manifolds, np.zeros((10, 8, 100))], axis=2))
    assert found.interval[0] < wide.capacity < found.interval[1]


def test_manifolds_of_different_sizes():
    manifolds = clouds(10, 8, 30)
    uneven = [points[: 3 + k % 6] for k, points in enumerate(manifolds)]
    few, all_points = simulated_capacity(uneven), simulated_capacity(manifolds)
    assert few.capacity > all_points.capacity


def test_capacity_is_null_where_nothing_separates():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((6, 3, 10))
    for manifolds in (np.concatenate([half, -half], axis=1), half[:1], np.zeros((3, 2, 4)), np.ones((1, 1, 3))):
        found = simulated_capacity(manifolds, n_dichotomies=20)
        assert isnan(found.capacity) and isnan(found.n_features) and all(map(isnan, found.interval))
        assert set(found.fractions) == {0.0}


@pytest.mark.parametrize("n_points", [1, 3])
def test_two_manifolds_have_no_capacity(n_points):
    """Centred they are opposite: half of their dichotomies, with one side for both, never separate."""
    for seed in range(6):
        found = simulated_capacity(np.random.default_rng(seed).standard_normal((2, n_points, 5)), seed=seed)
        assert isnan(found.capacity) and isnan(found.n_features) and all(map(isnan, found.interval))
        assert 0 < found.fractions[-1] < 1


def test_weak_structure_is_decided_without_the_exact_solver(monkeypatch):
    """One class against the rest: of these the fifth was lost to rounding by a first step of a hundred lengths."""
    monkeypatch.setattr(simulated, "_nearest_separates", lambda _: pytest.fail("left to the exact solver"))
    rng = np.random.default_rng(0)
    points = np.concatenate([0.15 * rng.standard_normal(800) + rng.standard_normal((50, 800)) for _ in range(40)])
    points = np.column_stack([points - points.mean(0), np.full(len(points), np.sqrt(800))])
    for k in (3, 4, 5):
        labels = np.full(len(points), -1)
        labels[50 * k : 50 * (k + 1)] = 1
        assert separable(points, labels)


def test_an_interval_that_is_open_above_says_so():
    # Two of three centred points: 1 - 2^-2 of the dichotomies at most, which few trials cannot tell from a half.
    found = simulated_capacity(np.random.default_rng(0).standard_normal((3, 1, 2)), n_dichotomies=6)
    assert found.interval[0] == 0.0
    assert found.capacity > 0


def test_refused_manifolds():
    with pytest.raises(ValueError, match="manifolds is empty"):
        simulated_capacity([])
    broken = clouds(3, 4, 5)
    broken[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="manifolds holds NaN"):
        simulated_capacity(broken)
