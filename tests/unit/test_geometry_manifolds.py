"""The whole mean-field analysis against a plain one, closed forms, and what must not change it."""

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls

from latentgen.geometry import manifold_geometry, simulated_capacity
from latentgen.geometry.anchors import anchor_geometry
from latentgen.geometry.centers import center_axes
from latentgen.geometry.manifolds import DegenerateError

NO_AXES = np.zeros((30, 0))


def clouds(sizes=(8, 8, 8, 8, 8, 8), features=30, seed=0, separation=1.0):
    """Gaussian clouds around random centres."""
    random = np.random.default_rng(seed)
    return [separation * random.standard_normal(features) + random.standard_normal((size, features)) for size in sizes]


def plain(manifolds, kappa, t, axes):
    """Capacity, radius and dimension, written down step by step."""
    mean = np.concatenate(manifolds).mean(0)
    inverse, radii, dimensions = [], [], []
    for points, directions in zip(manifolds, t, strict=True):
        center = points.mean(0) - mean
        center = center - axes @ axes.T @ center
        points = points - mean - (points - mean) @ axes @ axes.T
        points = (points - center) / np.linalg.norm(center)
        if points.shape[1] > len(points):
            points = np.linalg.qr(points.T)[1].T
        extended = np.column_stack([points, np.ones(len(points))]).T
        anchors, terms, cosines = [], [], []
        for direction in directions.T:
            shifted = direction + kappa * np.eye(len(extended))[-1]
            multipliers, _ = nnls(extended, shifted)
            if multipliers.any():
                anchor = extended @ multipliers / multipliers.sum()
            else:
                anchor = extended[:, (extended.T @ direction).argmax()]
            anchors.append(anchor)
            terms.append(max(direction @ anchor + kappa, 0) ** 2 / (anchor @ anchor))
            inside = anchor[:-1]
            cosines.append(inside @ direction[:-1] / np.linalg.norm(inside) / np.linalg.norm(direction[:-1]))
        anchors = np.array(anchors)[:, :-1]
        inverse.append(np.mean(terms))
        radii.append(np.sqrt(((anchors - anchors.mean(0)) ** 2).sum(1).mean()))
        dimensions.append(anchors.shape[1] * np.mean(cosines) ** 2)
    return 1 / np.mean(inverse), np.mean(radii), np.mean(dimensions)


@pytest.mark.parametrize("features", [5, 8, 30])  # fewer than, as many as, and more than points
@pytest.mark.parametrize("kappa", [0.0, 0.4])
@pytest.mark.parametrize("sizes", [(8, 8, 8), (8, 11, 5)])
def test_given_directions_and_axes_agree_with_a_plain_analysis(features, kappa, sizes):
    manifolds = clouds(sizes, features)
    random = np.random.default_rng(1)
    t = [random.standard_normal((min(part.shape) + 1, 40)) for part in manifolds]
    axes = np.linalg.qr(random.standard_normal((features, 1)))[0]
    result = manifold_geometry(manifolds, kappa, t=t, axes=axes)
    expected = plain(manifolds, kappa, t, axes)
    assert (result.capacity, result.radius, result.dimension) == pytest.approx(expected, rel=1e-9)
    assert result.n_points.tolist() == list(sizes)
    assert result.capacity == pytest.approx(1 / np.mean(1 / result.capacities))
    assert result.radius == pytest.approx(result.radii.mean())
    assert result.dimension == pytest.approx(result.dimensions.mean())


def test_searched_axes_are_those_that_are_removed():
    manifolds = clouds(separation=2.0)
    result = manifold_geometry(manifolds, n_t=50)
    assert result.axes.shape == (30, result.n_center_axes) and result.n_center_axes >= 1
    given = manifold_geometry(manifolds, n_t=50, axes=result.axes)
    assert (given.capacity, given.radius, given.dimension) == (result.capacity, result.radius, result.dimension)
    assert given.center_correlation == result.center_correlation


def test_spread_is_the_range_over_what_converged_restarts_found():
    manifolds = clouds((8,) * 10)
    result = manifold_geometry(manifolds, n_t=2000, n_restarts=6)
    centers = np.stack([part.mean(0) for part in manifolds])
    found = center_axes(centers - centers.mean(0), 6)
    assert len(set(found.objectives[found.converged].round(6))) > 1  # else this test shows nothing
    alone = [manifold_geometry(manifolds, n_t=2000, axes=axes) for axes in found.restart_axes[found.converged]]
    for name in ("capacity", "radius", "dimension"):
        expected = np.ptp([getattr(one, name) for one in alone])
        assert getattr(result, f"{name}_spread") == pytest.approx(expected, rel=0.2), name
    one = manifold_geometry(manifolds, n_t=50, n_restarts=1)
    assert (one.capacity_spread, one.radius_spread, one.dimension_spread) == (0, 0, 0)


def test_a_search_that_would_have_removed_a_centre_does_not_count_in_the_spread():
    for seed in range(40):
        manifolds = clouds((20,) * 10, 64, seed)
        centers = np.stack([part.mean(0) for part in manifolds])
        found = center_axes(centers - centers.mean(0))
        if not found.converged.all():
            break
    else:
        pytest.fail("no such case among 40")
    result = manifold_geometry(manifolds, n_t=60)
    assert result.radius_spread < result.radius


def test_drawn_directions_estimate_what_many_given_ones_do():
    manifolds = clouds()
    drawn = manifold_geometry(manifolds, n_t=400, axes=NO_AXES)
    random = np.random.default_rng(9)
    t = [random.standard_normal((9, 4000)) for _ in manifolds]
    exact = manifold_geometry(manifolds, t=t, axes=NO_AXES)
    assert abs(drawn.capacity - exact.capacity) < 3 * np.hypot(drawn.capacity_error, exact.capacity_error)


def test_standard_error_is_that_of_the_means_over_directions():
    manifolds = clouds((6, 9, 6))
    random = np.random.default_rng(5)
    t = [random.standard_normal((len(part) + 1, 40)) for part in manifolds]
    result = manifold_geometry(manifolds, t=t, axes=NO_AXES)
    mean, inverse, variance = np.concatenate(manifolds).mean(0), [], 0.0
    for points, directions in zip(manifolds, t, strict=True):
        center = points.mean(0) - mean
        residual = np.linalg.qr((points - points.mean(0)).T / np.linalg.norm(center), mode="r").T
        terms = anchor_geometry(residual, directions).terms
        inverse.append(terms.mean())
        variance += (terms.std(ddof=1) / np.sqrt(40)) ** 2 / 9  # of a mean of three independent means
    # The error of 1 / x is that of x over x squared.
    assert result.capacity_error == pytest.approx(np.sqrt(variance) / np.mean(inverse) ** 2, rel=1e-10)


def test_directions_and_restarts_are_drawn_apart():
    """The first numbers of the seed's own stream, which restarts use, are no direction."""
    manifolds = clouds((8, 8, 8))
    result = manifold_geometry(manifolds, n_t=50, seed=3, axes=NO_AXES)
    random = np.random.default_rng(3)
    same = manifold_geometry(manifolds, t=[random.standard_normal((9, 50)) for _ in manifolds], axes=NO_AXES)
    assert not np.isclose(result.capacity, same.capacity, rtol=1e-6)


def orthogonal(m, pairs=4):
    """Manifolds of m orthonormal points each, and their mirror images, so that the mean of all is 0."""
    rows = np.eye(m * pairs)
    return [sign * rows[m * pair : m * (pair + 1)] for pair in range(pairs) for sign in (1, -1)]


def test_orthogonal_points_have_capacity_two_over_their_number():
    m = 6
    manifolds = orthogonal(m)
    no_axes = np.zeros((24, 0))
    t = []
    for points in manifolds:
        # Columns of S are orthogonal here, so a direction can be given any components along them: all sign patterns.
        residual = (points - points.mean(0)) / np.linalg.norm(points.mean(0))
        extended = np.column_stack([np.linalg.qr(residual.T)[1].T, np.ones(m)])
        np.testing.assert_allclose(extended @ extended.T, m * np.eye(m), atol=1e-12)
        patterns = np.array(list(itertools.product([1, -1], repeat=m))).T
        t.append(extended.T @ patterns / np.sqrt(m))
    assert manifold_geometry(manifolds, t=t, axes=no_axes).capacity == pytest.approx(2 / m, rel=1e-12)
    drawn = manifold_geometry(manifolds, n_t=300, axes=no_axes)
    assert abs(drawn.capacity - 2 / m) < 3 * drawn.capacity_error


@pytest.mark.parametrize("m", [5, 20])
def test_random_points_have_capacity_two_over_their_number(m):
    random = np.random.default_rng(0)
    manifolds = [random.standard_normal((m, 4000)) for _ in range(20)]
    result = manifold_geometry(manifolds, n_t=100)
    assert abs(result.capacity - 2 / m) < 3 * result.capacity_error


def test_theory_is_what_random_dichotomies_measure_where_manifolds_are_unrelated():
    """Clouds of four dimensions around centres, all in directions of their own."""
    random = np.random.default_rng(0)
    manifolds = []
    for _ in range(30):
        center, *axes = random.standard_normal((5, 1500)) / np.sqrt(1500)
        manifolds.append(center + 0.5 * random.standard_normal((20, 4)) @ axes)
    theory = manifold_geometry(manifolds)
    mean = np.concatenate(manifolds).mean(0)
    points = [part - mean - (part - mean) @ theory.axes @ theory.axes.T for part in manifolds]
    measured = simulated_capacity(points, 100)
    assert measured.interval[0] * 0.97 < theory.capacity < measured.interval[1] * 1.03
    assert measured.interval[1] / measured.interval[0] < 1.2


@pytest.mark.parametrize("features", [5, 30])
def test_rotation_translation_and_scale_change_nothing(features):
    manifolds = clouds((8, 6, 9, 8), features)
    random = np.random.default_rng(2)
    rotation = np.linalg.qr(random.standard_normal((features, features)))[0]
    shift = 10 * random.standard_normal(features)
    expected = manifold_geometry(manifolds, kappa=0.2, n_t=50)
    moved = manifold_geometry([3.7 * part @ rotation + shift for part in manifolds], kappa=0.2, n_t=50)
    for name in ("capacity", "radius", "dimension", "center_correlation", "capacity_error"):
        assert getattr(moved, name) == pytest.approx(getattr(expected, name), rel=1e-6), name
    assert moved.n_center_axes == expected.n_center_axes


def test_scale_of_a_manifold_is_its_radius():
    """Twice the distances from the centres: twice the radius in the limit of small manifolds, and less capacity."""
    random = np.random.default_rng(3)
    centers = np.vstack([np.eye(30)[:6], -np.eye(30)[:6]]) * 100
    noise = [random.standard_normal((8, 30)) for _ in centers]
    noise = [part - part.mean(0) for part in noise]
    small, large = (
        manifold_geometry([c + scale * part for c, part in zip(centers, noise, strict=True)], n_t=100, axes=NO_AXES)
        for scale in (0.01, 0.02)
    )
    assert large.radius / small.radius == pytest.approx(2, rel=1e-2)
    assert small.capacity == pytest.approx(2, abs=3 * small.capacity_error + 0.01)  # that of points
    wide = manifold_geometry([c + 30 * part for c, part in zip(centers, noise, strict=True)], n_t=100, axes=NO_AXES)
    assert wide.capacity < small.capacity / 2


def test_equal_calls_give_equal_results_on_any_number_of_threads():
    manifolds = clouds()
    first, second, other = (
        manifold_geometry(manifolds, n_t=50, seed=seed, n_jobs=jobs) for seed, jobs in ((0, 1), (0, 3), (1, 1))
    )
    for name in ("capacities", "radii", "dimensions", "objectives", "axes"):
        assert (getattr(first, name) == getattr(second, name)).all()
    assert (first.capacity, first.capacity_spread) == (second.capacity, second.capacity_spread)
    assert first.capacity != other.capacity


def test_points_of_equal_manifolds_may_repeat():
    manifolds = clouds()
    doubled = manifold_geometry([np.vstack([part, part]) for part in manifolds], n_t=2000, axes=NO_AXES)
    single = manifold_geometry(manifolds, n_t=2000, axes=NO_AXES)
    assert abs(doubled.capacity - single.capacity) < 3 * np.hypot(doubled.capacity_error, single.capacity_error)


CASES = {
    "one manifold": (lambda m: m[:1], "two or more", ValueError),
    "one point": (lambda m: [m[0][:1], *m[1:]], r"manifolds\[0\]: has 1 points", ValueError),
    "no point": (lambda m: [*m[:2], m[2][:0], *m[3:]], r"manifolds\[2\]: has 0 points", ValueError),
    "another width": (lambda m: [m[0][:, :4], *m[1:]], r"manifolds\[1\]: needs \(points, features\)", ValueError),
    "not two-dimensional": (lambda m: [m[0][0], *m[1:]], r"manifolds\[0\]: needs \(points, features\)", ValueError),
    "NaN": (lambda m: [m[0], np.where(m[1] > 2, np.nan, m[1]), *m[2:]], r"manifolds\[1\]: holds NaN", DegenerateError),
    "infinity": (
        lambda m: [m[0], np.where(m[1] > 2, np.inf, m[1]), *m[2:]],
        r"manifolds\[1\].*diverged",
        DegenerateError,
    ),
    "identical centres": (
        lambda m: [m[0], m[0].mean(0) + m[1] - m[1].mean(0), *m[2:]],
        r"manifolds\[0\] and manifolds\[1\] have one centre",
        DegenerateError,
    ),
    "a centre at the mean": (
        lambda m: [*m[:5], m[5] - m[5].mean(0) + np.concatenate(m[:5]).mean(0)],
        r"manifolds\[5\]: its centre is the mean",
        DegenerateError,
    ),
    "a constant layer": (lambda m: [np.ones_like(part) for part in m], "constant", DegenerateError),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals_say_what_to_do(case):
    spoil, message, error = CASES[case]
    with pytest.raises(error, match=message):
        manifold_geometry(spoil(clouds()))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kappa": -0.1}, "kappa"),
        ({"kappa": float("nan")}, "kappa"),
        ({"n_t": 1}, "n_t"),
        ({"n_restarts": 0}, "n_restarts"),
        ({"t": [np.zeros((9, 5))] * 5}, "t: needs an array"),
        ({"t": [np.zeros((8, 5))] * 6}, "t: needs an array"),
        ({"t": [np.zeros((9, 1))] * 6}, "t: needs two directions"),
        ({"axes": np.zeros((29, 1))}, r"axes: needs \(30, K\)"),
        ({"axes": np.ones((30, 1))}, "orthonormal"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        manifold_geometry(clouds(), **arguments)
