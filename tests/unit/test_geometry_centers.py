"""The removal of shared center axes, against loops, finite differences, grids and a plain optimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from latentgen.geometry import centers as room
from latentgen.geometry.centers import center_axes

pytestmark = pytest.mark.slow


def centered(rng, n_classes, n_features):
    values = rng.standard_normal((n_classes, n_features))
    return values - values.mean(axis=0)


def orthonormal(rng, n_features, n_axes):
    return np.linalg.qr(rng.standard_normal((n_features, n_axes)))[0]


def cosines_by_loop(points, axes):
    """Cosines between residual centers and the part of its length that each keeps, one pair at a time."""
    residuals = [x - sum((x @ v) * v for v in axes.T) for x in points]
    cosines = np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in residuals] for a in residuals])
    return cosines, [np.sqrt((a @ a) / (x @ x)) for a, x in zip(residuals, points, strict=True)]


def objective_by_loop(points, axes):
    return 0.5 * np.sum(cosines_by_loop(points, axes)[0] ** 2)


def mean_cosine_by_loop(points, axes):
    cosines = cosines_by_loop(points, axes)[0]
    return np.mean([abs(cosines[i, j]) for i in range(len(points)) for j in range(len(points)) if i != j])


@pytest.mark.parametrize("n_axes", [1, 2, 5])
def test_the_gradient_is_that_of_finite_differences(n_axes):
    rng = np.random.default_rng(n_axes)
    points = centered(rng, 9, 11)
    axes = orthonormal(rng, 11, n_axes)
    value, gradient, _, _ = room._evaluate(points, points @ points.T, axes)
    assert value == pytest.approx(objective_by_loop(points, axes), rel=1e-13)
    np.testing.assert_allclose(axes.T @ gradient, 0, atol=1e-13)
    differences, step = np.empty_like(axes), 1e-6
    for index in np.ndindex(*axes.shape):
        move = np.zeros_like(axes)
        move[index] = step
        ahead, behind = (objective_by_loop(points, np.linalg.qr(axes + sign * move)[0]) for sign in (1, -1))
        differences[index] = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(gradient, differences, rtol=0, atol=1e-6 * np.abs(gradient).max())


def test_the_gradient_in_a_chart_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    points = centered(rng, 9, 11)
    origin, scale = orthonormal(rng, 11, 3), np.array([0.3, 1.0, 2.0])
    position = 0.4 * rng.standard_normal(origin.shape)
    position -= origin @ (origin.T @ position)
    gram = points @ points.T
    value, gradient, _ = room._evaluate_in_chart(points, gram, origin, scale, position)
    assert value == pytest.approx(objective_by_loop(points, np.linalg.qr(origin + position * scale)[0]), rel=1e-13)
    for _ in range(10):
        move = rng.standard_normal(origin.shape)
        move -= origin @ (origin.T @ move)
        ahead, behind = (
            objective_by_loop(points, np.linalg.qr(origin + (position + sign * 1e-6 * move) * scale)[0])
            for sign in (1, -1)
        )
        assert np.sum(gradient * move) == pytest.approx((ahead - behind) / 2e-6, rel=1e-6, abs=1e-8)


def test_figures_are_those_of_loops_over_the_pairs():
    points = centered(np.random.default_rng(3), 8, 20)
    found = center_axes(points, n_restarts=4, seed=1)
    assert found.converged.all()
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(found.axes.shape[1]), atol=1e-13)
    assert found.correlation == pytest.approx(mean_cosine_by_loop(points, np.empty((20, 0))), rel=1e-12)
    assert found.mean_cosine == pytest.approx(mean_cosine_by_loop(points, found.axes), rel=1e-12)
    assert found.mean_cosine == pytest.approx(found.path.min(), rel=1e-6)
    assert found.path.argmin() + 1 == found.axes.shape[1]
    for restart, axes in enumerate(found.restart_axes):
        assert found.objectives[restart] == pytest.approx(objective_by_loop(points, axes), rel=1e-12)
        assert found.mean_cosines[restart] == pytest.approx(mean_cosine_by_loop(points, axes), rel=1e-12)
        assert found.stabilities[restart] == pytest.approx(min(cosines_by_loop(points, axes)[1]), rel=1e-12)
    kept = found.stabilities.argmax()
    assert found.objective == found.objectives[kept]
    np.testing.assert_array_equal(found.axes, found.restart_axes[kept])


@pytest.mark.parametrize("n_classes", [3, 4, 5])
@pytest.mark.parametrize("seed", range(4))
def test_one_axis_is_the_best_of_a_grid_of_directions(n_classes, seed):
    rng = np.random.default_rng(100 * n_classes + seed)
    points = centered(rng, n_classes, 7)
    span = np.linalg.svd(points)[2][: n_classes - 1]
    if n_classes == 3:
        angles = np.linspace(0, np.pi, 20001)
        directions = np.column_stack([np.cos(angles), np.sin(angles)])
    else:
        directions = rng.standard_normal((200_000, n_classes - 1))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    removed = directions @ span @ points.T
    # Near a center the cosines of what remains are rounding.
    removed = removed[np.all(removed**2 < (1 - 1e-6) * np.sum(points**2, axis=1), axis=1)]
    remains = points @ points.T - removed[:, :, None] * removed[:, None, :]
    lengths = np.sqrt(np.diagonal(remains, axis1=1, axis2=2))
    grid = 0.5 * np.sum((remains / (lengths[:, :, None] * lengths[:, None, :])) ** 2, axis=(1, 2))
    coordinates, _, _ = room._coordinates(points)
    ends = [
        room._search(coordinates, coordinates @ coordinates.T, rng.standard_normal((n_classes - 1, 1)), 1e-9)
        for _ in range(20)
    ]
    best = min(end.objective for end in ends if end.converged)
    assert best <= grid.min() + 1e-8
    assert best == pytest.approx(grid.min(), rel=1e-2)


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_a_plain_optimiser_finds_no_lower_objective_from_the_same_starts(n_axes):
    rng = np.random.default_rng(n_axes)
    points, _, _ = room._coordinates(centered(rng, 8, 30))
    starts = [orthonormal(rng, 7, n_axes) for _ in range(8)]
    ends = [room._search(points, points @ points.T, start, 1e-9) for start in starts]
    plain = [
        minimize(
            lambda flat: objective_by_loop(points, np.linalg.qr(flat.reshape(7, n_axes))[0]),
            start.ravel(),
            method="L-BFGS-B",
        ).fun
        for start in starts
    ]
    assert min(end.objective for end in ends) <= min(plain) + 1e-9
    assert np.median([end.objective for end in ends]) == pytest.approx(np.median(plain), rel=1e-2)
    for end in ends:
        for _ in range(20):
            moved = np.linalg.qr(end.axes + 1e-4 * rng.standard_normal(end.axes.shape))[0]
            assert objective_by_loop(points, moved) >= end.objective - 1e-12


def test_the_first_axis_starts_from_random_combinations_of_the_centers():
    points = centered(np.random.default_rng(7), 6, 40)
    found = center_axes(points, n_restarts=5, seed=11)
    assert found.axes.shape[1] == 1
    weights = np.random.default_rng(11).standard_normal((5, 6))
    for restart, start in enumerate(weights @ points):
        span = np.linalg.svd(points)[2][:5]
        plain = minimize(
            lambda flat: objective_by_loop(points, (flat / np.linalg.norm(flat) @ span)[:, None]),  # noqa: B023
            span @ start / np.linalg.norm(start),
            method="L-BFGS-B",
            options={"ftol": 1e-15},
        ).fun
        assert found.objectives[restart] <= plain + 1e-7


def test_nothing_depends_on_rotation_or_scale():
    rng = np.random.default_rng(5)
    points = planted(rng, 12, 30, 2)
    rotation = orthonormal(rng, 30, 30)
    found, turned = center_axes(points, seed=2), center_axes(1e-3 * points @ rotation.T, seed=2)
    assert turned.axes.shape == found.axes.shape
    np.testing.assert_allclose(turned.objectives, found.objectives, rtol=1e-8)
    np.testing.assert_allclose(turned.path, found.path, rtol=1e-6)
    assert turned.correlation == pytest.approx(found.correlation, rel=1e-12)
    assert turned.mean_cosine == pytest.approx(found.mean_cosine, rel=1e-6)
    overlap = np.linalg.svd(turned.axes.T @ rotation @ found.axes, compute_uv=False)
    np.testing.assert_allclose(overlap, 1, atol=1e-10)


def planted(rng, n_classes, n_features, n_axes, strength=5.0):
    shared = strength * rng.standard_normal((n_classes, n_axes)) @ orthonormal(rng, n_features, n_axes).T
    points = shared + rng.standard_normal((n_classes, n_features)) / np.sqrt(n_features)
    return points - points.mean(axis=0)


@pytest.mark.parametrize("n_axes", [1, 3])
@pytest.mark.parametrize("strength", [5.0, 200.0])
def test_planted_axes_are_found_and_removed(n_axes, strength):
    rng = np.random.default_rng(n_axes)
    basis = orthonormal(rng, 400, n_axes)
    shared = strength * rng.standard_normal((30, n_axes)) @ basis.T
    points = shared + rng.standard_normal((30, 400)) / 20
    found = center_axes(points - points.mean(axis=0), n_restarts=4)
    assert found.axes.shape[1] == n_axes
    assert found.converged.all()
    assert found.mean_cosine < 0.1 < 0.3 < found.correlation
    assert np.linalg.svd(basis.T @ found.axes, compute_uv=False).min() > 0.99


def test_dependent_centers():
    rng = np.random.default_rng(1)
    few_features = center_axes(centered(rng, 12, 4), n_restarts=3)
    assert few_features.axes.shape[1] <= 3
    assert len(few_features.path) <= 3
    np.testing.assert_allclose(few_features.axes.T @ few_features.axes, np.eye(few_features.axes.shape[1]), atol=1e-12)
    twins = np.repeat(rng.standard_normal((4, 9)), [2, 1, 1, 1], axis=0)
    twins -= twins.mean(axis=0)
    found = center_axes(twins, n_restarts=3)
    assert found.objective == pytest.approx(objective_by_loop(twins, found.axes), rel=1e-12)


def test_two_classes_and_centers_on_a_line_leave_no_axis_to_choose():
    two = center_axes(np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]]), n_restarts=2)
    line = center_axes(np.outer([1.0, 2.0, -3.0, 4.0], [3.0, 4.0]), n_restarts=2)
    for found, n_classes, n_features in ((two, 2, 3), (line, 4, 2)):
        assert found.axes.shape == (n_features, 0)
        assert found.restart_axes.shape == (2, n_features, 0)
        assert len(found.path) == 0
        assert found.correlation == found.mean_cosine == pytest.approx(1)
        assert found.objective == pytest.approx(n_classes**2 / 2)


def test_three_classes_lose_one_axis_and_lie_on_a_line():
    found = center_axes(centered(np.random.default_rng(0), 3, 5))
    assert found.axes.shape == (5, 1)
    assert found.mean_cosine == pytest.approx(1)
    assert found.objective == pytest.approx(4.5)


def test_k_ends_two_below_the_classes():
    found = center_axes(planted(np.random.default_rng(2), 5, 40, 3), n_restarts=3)
    assert len(found.path) == 3


def test_a_search_that_loses_a_center_says_so():
    points, _, _ = room._coordinates(centered(np.random.default_rng(0), 6, 9))
    end = room._search(points, points @ points.T, points[:1].T, 1e-9)
    assert not end.converged
    assert end.stability < 1e-7


def test_equal_seeds_give_equal_bytes_whatever_the_threads():
    points = planted(np.random.default_rng(4), 100, 150, 2)
    with threadpool_limits(limits=1):
        one, again = center_axes(points, n_restarts=2, seed=3), center_axes(points, n_restarts=2, seed=3)
    with threadpool_limits(limits=2):
        two = center_axes(points, n_restarts=2, seed=3)
    np.testing.assert_array_equal(one.restart_axes, again.restart_axes)
    np.testing.assert_array_equal(one.restart_axes, two.restart_axes)
    assert not np.array_equal(one.restart_axes, center_axes(points, n_restarts=2, seed=4).restart_axes)


@pytest.mark.parametrize(
    ("centers", "message"),
    [
        (np.zeros((3, 4)), r"centers \[0, 1, 2\] lie at the origin.*leave"),
        (np.array([[1.0, 0], [0, 0], [0, 1]]), r"centers \[1\] lie at the origin.*leave"),
        (np.ones((3, 4)), "all the same; subtract the mean"),
        (np.array([[1.0, np.nan], [0, 1]]), "NaN"),
        (np.ones(4), "shape"),
        (np.ones((1, 4)), "at least two classes"),
    ],
)
def test_centers_without_cosines_are_refused(centers, message):
    with pytest.raises(ValueError, match=message):
        center_axes(centers)


def test_no_restarts_are_refused():
    with pytest.raises(ValueError, match="n_restarts must be at least 1"):
        center_axes(np.eye(3), n_restarts=0)
