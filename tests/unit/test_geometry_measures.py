"""Measures of manifolds against closed forms, plain covariances, loops and SciPy; what they are invariant under.

Separability that is decided for all classes at once, against the exact solver and a support vector machine.
"""

from math import ceil, isnan

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from scipy.stats import ortho_group
from sklearn.svm import SVC

from latentgen.geometry import measures as room
from latentgen.geometry.measures import measures


def clouds(n_manifolds=6, n_points=9, n_features=12, spread=1.0, seed=0):
    """Manifolds around Gaussian centres, with axes of decaying sizes."""
    rng = np.random.default_rng(seed)
    sizes = spread * 0.8 ** np.arange(n_features)
    return rng.standard_normal((n_manifolds, 1, n_features)) + sizes * rng.standard_normal(
        (n_manifolds, n_points, n_features)
    )


def eigenvalues(points):
    return np.linalg.eigvalsh(np.atleast_2d(np.cov(points.T)))[::-1]


def participation(values):
    return values.sum() ** 2 / (values**2).sum()


def two_neighbours(points):
    """Intrinsic dimension from a full table of distances and a least-squares fit."""
    distances = np.sort(cdist(points, points), axis=1)
    logs = np.sort(np.log(distances[:, 2] / distances[:, 1]))
    kept = int(0.9 * len(logs))
    heights = np.array([-np.log(1 - (i + 1) / len(logs)) for i in range(kept)])
    return np.linalg.lstsq(logs[:kept, None], heights, rcond=None)[0][0]


@pytest.mark.parametrize("shape", [(6, 9, 12), (4, 5, 60), (3, 30, 7), (2, 2, 5)])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_against_covariances_and_loops(shape, offset):
    manifolds = clouds(*shape) + offset
    points, found = manifolds.reshape(-1, shape[2]), measures(manifolds)
    values = eigenvalues(points)
    assert found["participation_ratio"] == pytest.approx(participation(values), rel=1e-9)
    assert found["axes_90"] == 1 + np.sum(np.cumsum(values) < 0.9 * values.sum())
    each = [participation(eigenvalues(rows)) for rows in manifolds]
    assert found["class_participation_ratio"] == pytest.approx(np.mean(each), rel=1e-9)
    centers = manifolds.mean(axis=1)
    distances = [[np.sqrt(((x - c) ** 2).sum()) for x in rows] for rows, c in zip(manifolds, centers, strict=True)]
    assert found["within_distance"] == pytest.approx(np.mean(distances), rel=1e-9)
    assert found["center_distance"] == pytest.approx(pdist(centers).mean(), rel=1e-9)
    assert found["intrinsic_dimension"] == pytest.approx(two_neighbours(points), rel=1e-7)
    assert all(type(value) is float for value in found.values())


def test_manifolds_of_different_sizes_count_alike():
    manifolds = [rows[: 3 + 2 * k] for k, rows in enumerate(clouds(3))]
    found, points = measures(manifolds), np.vstack(manifolds)
    distances = [np.linalg.norm(rows - rows.mean(axis=0), axis=1).mean() for rows in manifolds]
    assert found["within_distance"] == pytest.approx(np.mean(distances))
    each = [participation(eigenvalues(rows)) for rows in manifolds]
    assert found["class_participation_ratio"] == pytest.approx(np.mean(each))
    assert found["center_distance"] == pytest.approx(pdist([rows.mean(axis=0) for rows in manifolds]).mean())
    assert found["participation_ratio"] == pytest.approx(participation(eigenvalues(points)))


@pytest.mark.parametrize("n", [4, 11, 21, 40])
def test_simplex(n):
    # n - 1 equal eigenvalues; with 11 or 21 points exactly 90 % of the variance is reached at an integer.
    found = measures(np.eye(n)[:, None] * 3)
    assert found["participation_ratio"] == pytest.approx(n - 1)
    assert found["axes_90"] == ceil(round(0.9 * (n - 1), 9))
    assert found["center_distance"] == pytest.approx(3 * np.sqrt(2))
    assert found["within_distance"] == 0
    assert found["separability"] == 1
    assert isnan(found["class_participation_ratio"])


def test_isotropic_gaussian_classes():
    # Of n Gaussian points in d features: (sum l)^2 / sum l^2 tends to d n / (n + d), Marchenko and Pastur's moments.
    d, n_classes, n = 30, 4, 400
    centers = 50 * np.eye(d)[:n_classes, None]
    found = measures(centers + np.random.default_rng(0).standard_normal((n_classes, n, d)))
    assert found["class_participation_ratio"] == pytest.approx(d * n / (n + d), rel=0.02)
    assert found["within_distance"] == pytest.approx(np.sqrt(d - 0.5), rel=0.02)
    assert found["center_distance"] == pytest.approx(50 * np.sqrt(2), rel=0.005)
    assert found["separability"] == 1


@pytest.mark.parametrize("d, tolerance", [(1, 0.08), (2, 0.08), (5, 0.12)])
def test_planted_dimension_of_a_cube(d, tolerance):
    # Near the faces of a cube points have fewer neighbours, which lowers the estimate in more dimensions.
    rng = np.random.default_rng(d)
    points = rng.uniform(size=(3000, d)) @ ortho_group.rvs(20, random_state=rng)[:d]
    assert measures(points.reshape(3, 1000, 20))["intrinsic_dimension"] == pytest.approx(d, rel=tolerance)


@pytest.mark.parametrize("shape", [(6, 80, 3), (3, 100, 700), (1, 9, 4), (1, 10, 4)])
def test_intrinsic_dimension_against_all_distances(shape):
    manifolds = clouds(*shape)
    found = measures(manifolds)["intrinsic_dimension"]
    assert found == pytest.approx(two_neighbours(manifolds.reshape(-1, shape[2])), rel=1e-9)
    n = shape[0] * shape[1]
    assert n * max(n, room.CANDIDATES * shape[2]) > room.CHUNK or n <= room.CANDIDATES + 2


def test_equal_points_count_once_for_the_dimension():
    manifolds = clouds(4, 10, 6)
    once = measures(manifolds)["intrinsic_dimension"]
    manifolds[:, :, 0] = np.where(np.abs(manifolds[:, :, 0]) < 0.5, 0.0, manifolds[:, :, 0])
    expected = measures(manifolds)["intrinsic_dimension"]
    again = manifolds.copy()
    again[:, :, 0] = np.where(again[:, :, 0] == 0, -0.0, again[:, :, 0])  # another spelling of the same points
    twice = np.concatenate([manifolds, again], axis=1)
    assert measures(twice)["intrinsic_dimension"] == pytest.approx(expected, rel=1e-9)
    assert expected != once
    assert isnan(measures(np.repeat(np.random.default_rng(0).standard_normal((2, 1, 4)), 5, 1))["intrinsic_dimension"])
    three = np.repeat(np.array([[[0.0]], [[1.0]], [[3.0]]]), 4, axis=1)
    assert np.isfinite(measures(three)["intrinsic_dimension"])


def test_neighbours_far_nearer_than_the_centers():
    # Squares of the distances within a class are 1e-12 of those between classes: products alone would not rank them.
    manifolds = clouds(5, 40, 8, spread=0.0) + 1e-6 * np.random.default_rng(1).standard_normal((5, 40, 8))
    found = measures(manifolds)["intrinsic_dimension"]
    centered = manifolds - manifolds.mean(axis=1, keepdims=True)
    assert found == pytest.approx(two_neighbours((1e7 * centered + 1e9 * np.arange(5)[:, None, None]).reshape(-1, 8)))


def test_separability_of_known_sets():
    line = np.arange(9.0).reshape(3, 3, 1)
    assert measures(line)["separability"] == pytest.approx(2 / 3)  # not the class in the middle
    crossed = np.array([[[0.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    assert measures(crossed)["separability"] == 0
    # Lifted off their plane the points are independent.
    lifted = np.concatenate([crossed, [[[0.0], [0.1]], [[0.0], [0.0]]]], axis=2)
    assert measures(lifted)["separability"] == 1


@pytest.mark.parametrize("n_features", [5, 100])
def test_two_classes_with_a_point_in_common_are_not_separable(n_features):
    manifolds = 0.1 * clouds(4, 6, n_features, spread=0.1)
    manifolds += 10 * np.eye(4, n_features)[:, None]
    assert measures(manifolds)["separability"] == 1
    manifolds[1, 2] = manifolds[0, 3]
    assert measures(manifolds)["separability"] == 0.5


@pytest.mark.filterwarnings("ignore:Solver terminated early")
@pytest.mark.parametrize("seed", range(4))
def test_separability_against_a_support_vector_machine(seed):
    manifolds = clouds(6, 8, 9, spread=1.3, seed=seed) + 2
    points, labels = manifolds.reshape(-1, 9), np.repeat(np.arange(6), 8)
    separated = []
    for label in range(6):
        sides = np.where(labels == label, 1, -1)
        machine = SVC(kernel="linear", C=1e10, max_iter=100_000).fit(points, sides)
        separated.append((sides * machine.decision_function(points) > 0).all())
    assert measures(manifolds)["separability"] == pytest.approx(np.mean(separated))


def certified_and_decided(manifolds):
    """Answers for each class against the rest: proven for all at once (NaN: not), and by the exact solver."""
    points = manifolds.reshape(-1, manifolds.shape[2])
    points = points - points.mean(axis=0)
    n, n_features = points.shape
    labels, classes = np.repeat(np.arange(len(manifolds)), manifolds.shape[1]), np.arange(len(manifolds))
    smaller = points.T @ points if n_features < n else points @ points.T
    rounding = 10 * n * np.finfo(float).eps * np.linalg.eigvalsh(smaller)[-1]
    sample, smaller = torch.from_numpy(points), torch.from_numpy(smaller)
    return room._certified(sample, smaller, rounding, labels, classes), room._decided(points, labels, classes)


def wide(rng, n_manifolds, n_points, n_features):
    """More features than points, which are affinely independent but some of them only just."""
    manifolds = rng.standard_normal((n_manifolds, n_points, n_manifolds * n_points + 5))
    manifolds[:, :, n_features:] *= 10.0 ** -rng.integers(3, 9)
    return manifolds


DRAWS = {
    "full rank": lambda rng, *shape: clouds(*shape, spread=rng.choice([0.3, 1.0, 3.0]), seed=rng),
    "dependent features": lambda rng, p, m, d: clouds(p, m, d, seed=rng) @ rng.standard_normal((d, d + 4)),
    "rectified": lambda rng, p, m, d: np.maximum(clouds(p, m, d, 2.0, rng) @ rng.standard_normal((d, 2 * d)) - 2, 0),
    "integers": lambda rng, *shape: np.rint(clouds(*shape, seed=rng)),
    "nearly dependent features": lambda rng, p, m, d: clouds(p, m, d, seed=rng) * np.logspace(0, -6, d),
    "wide": wide,
}


@pytest.mark.parametrize("kind", DRAWS)
def test_what_is_proven_for_all_classes_at_once_the_exact_solver_finds(kind):
    rng, proven = np.random.default_rng(len(kind)), []
    for _ in range(60):
        manifolds = DRAWS[kind](rng, *rng.integers((2, 1, 1), (7, 11, 15)))
        if not np.ptp(manifolds, axis=(0, 1)).any():
            continue  # all points coincide, and all classes share one
        certified, decided = certified_and_decided(manifolds)
        known = ~np.isnan(certified)
        np.testing.assert_array_equal(certified[known], np.array(decided)[known])
        proven += list(certified)
    assert proven.count(1) > 50
    assert proven.count(0) > 10 or kind == "wide"


@pytest.mark.parametrize("spread, expected", [(0.1, 1), (30.0, 0)])
def test_many_classes_are_proven_without_the_exact_solver(monkeypatch, spread, expected):
    monkeypatch.setattr(room, "LARGEST", 0)
    rng = np.random.default_rng(0)
    manifolds = rng.standard_normal((30, 1, 12)) + spread * rng.standard_normal((30, 20, 12))
    assert measures(manifolds)["separability"] == expected
    assert measures(np.pad(manifolds, ((0, 0), (0, 0), (0, 9))))["separability"] == expected  # features that are off


def test_nearly_dependent_points_are_proven_without_the_exact_solver(monkeypatch):
    monkeypatch.setattr(room, "LARGEST", 0)
    rng = np.random.default_rng(0)
    points = (
        ortho_group.rvs(120, random_state=rng)
        * np.logspace(0, -6.4, 120)
        @ ortho_group.rvs(200, random_state=rng)[:120]
    )
    sizes = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    assert 1e-14 < (sizes[118] / sizes[0]) ** 2 < 1200 * np.finfo(float).eps  # fails the test of rank
    assert measures(points.reshape(10, 12, 200))["separability"] == 1


def test_separability_is_null_where_a_class_of_many_points_stays_open(monkeypatch):
    # The first class lies between two points of the second, while no balance includes the third.
    closed = np.array([[[0.0, 0.0]] * 2, [[-1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]]])
    certified, decided = certified_and_decided(closed)
    assert isnan(certified[0]) and not decided[0]
    assert measures(closed)["separability"] == pytest.approx(1 / 3)
    undecided = np.isnan(certified).sum()
    monkeypatch.setattr(room, "LARGEST", undecided * 6 * 2**2)
    assert measures(closed)["separability"] == pytest.approx(1 / 3)
    monkeypatch.setattr(room, "LARGEST", undecided * 6 * 2**2 - 1)
    found = measures(closed)
    assert isnan(found.pop("separability"))
    assert all(np.isfinite(value) for name, value in found.items() if name != "class_participation_ratio")
    # What is proven needs no exact solver, however many the points.
    assert measures(10.0 * np.eye(3)[:, None] + closed[:, :, [0, 1, 1]])["separability"] == 1


@pytest.mark.parametrize("n_features", [9, 80])
def test_rotations_translations_and_scale(n_features):
    manifolds = clouds(6, 8, n_features)
    found = measures(manifolds)
    rotation = ortho_group.rvs(n_features, random_state=0)
    for changed, scale in ((manifolds @ rotation, 1), (manifolds + rotation[0], 1), (1e-3 * manifolds, 1e-3)):
        for name, value in measures(changed).items():
            unit = scale if name.endswith("distance") else 1
            assert value == pytest.approx(unit * found[name], rel=1e-8), name


def test_points_that_coincide_have_null_dimensions():
    same = np.full((3, 4, 5), 0.1)
    found = measures(same)
    for name in ("participation_ratio", "axes_90", "class_participation_ratio", "intrinsic_dimension"):
        assert isnan(found[name]), name
    assert found["within_distance"] == found["center_distance"] == found["separability"] == 0
    evenly_spaced = measures(np.arange(20.0).reshape(2, 10, 1))  # all ratios that count are 1
    assert isnan(evenly_spaced["intrinsic_dimension"])


def test_one_class():
    found = measures(clouds(1, 20, 5))
    assert isnan(found["center_distance"]) and isnan(found["separability"])
    assert found["class_participation_ratio"] == pytest.approx(found["participation_ratio"])


def test_measures_leave_their_argument():
    manifolds = clouds()
    before = manifolds.copy()
    measures(manifolds)
    np.testing.assert_array_equal(manifolds, before)


def test_refused_manifolds():
    with pytest.raises(ValueError, match="manifolds is empty"):
        measures([])
    broken = clouds()
    broken[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="manifolds holds NaN or infinity"):
        measures(broken)
