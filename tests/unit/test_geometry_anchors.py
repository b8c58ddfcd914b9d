"""Capacity, radius and dimension of one manifold against a quadratic program and manifolds with closed forms."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import cvxopt
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from scipy import integrate, stats
from scipy.spatial import ConvexHull

from latentgen.geometry.anchors import anchor_geometry


def cloud(m, d, radius=1.0, seed=0):
    """Points less their mean, scaled to a root mean square distance of ``radius`` from it."""
    points = np.random.default_rng(seed).standard_normal((m, d))
    points -= points.mean(axis=0)
    return points * radius * np.sqrt(m) / np.linalg.norm(points)


def directions_for(points, n, seed=1):
    return np.random.default_rng(seed).standard_normal((points.shape[1] + 1, n))


def by_quadratic_program(points, direction, kappa):
    """The anchor point as published: from the nearest v with s . v <= -kappa and the program's multipliers."""
    options = {"show_progress": False, "abstol": 1e-13, "reltol": 1e-13, "feastol": 1e-13}
    extended = np.column_stack([points, np.ones(len(points))])
    bounds = cvxopt.matrix(np.full(len(points), -float(kappa)))
    identity = cvxopt.matrix(np.eye(len(direction)))
    if (extended @ direction <= -kappa).all():
        return extended[np.argmax(extended @ direction)]
    found = cvxopt.solvers.qp(identity, cvxopt.matrix(-direction), cvxopt.matrix(extended), bounds, options=options)
    return (direction - np.ravel(found["x"])) / sum(found["z"])


def averages(anchors, directions, kappa):
    """Terms, radius and dimension, a direction at a time."""
    terms, cosines, distances = [], [], []
    center = np.mean(anchors, axis=0)
    for anchor, direction in zip(anchors, directions.T, strict=True):
        terms.append(max(direction @ anchor + kappa, 0) ** 2 / (anchor @ anchor))
        cosines.append(1 - scipy.spatial.distance.cosine(anchor[:-1], direction[:-1]))
        distances.append(np.sum((anchor - center)[:-1] ** 2) / anchor[-1] ** 2)
    return terms, np.sqrt(np.mean(distances)), (len(anchors[0]) - 1) * np.mean(cosines) ** 2


CASES = {
    "narrow": cloud(50, 50, 0.3),
    "usual": cloud(50, 50),
    "wide": cloud(50, 50, 5.0),
    "more points than dimensions": cloud(50, 6),
    "hundreds of points in three dimensions": cloud(300, 3),
    "duplicates": np.repeat(cloud(10, 20), 3, axis=0),
    "collinear": np.outer(np.linspace(-1, 1, 11), [0.6, 0.8, 0]),
    "nearly parallel": cloud(12, 8, 1e-4),
    "two points": np.array([[1.0, 0], [-1, 0]]),
}


@pytest.mark.parametrize("kappa", [0, 0.5, 2])
@pytest.mark.parametrize("name", CASES)
def test_against_a_quadratic_program(name, kappa):
    points = CASES[name]
    directions = directions_for(points, 30)
    found = anchor_geometry(points, directions, kappa)
    anchors = [by_quadratic_program(points, direction, kappa) for direction in directions.T]
    terms, radius, dimension = averages(anchors, directions, kappa)
    np.testing.assert_allclose(found.anchors, anchors, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.terms, terms, rtol=0, atol=1e-8)
    assert found.capacity == pytest.approx(1 / np.mean(terms), rel=1e-8)
    assert (found.radius, found.dimension) == pytest.approx((radius, dimension), rel=1e-8)
    assert found.anchors.shape == (30, points.shape[1] + 1) and found.terms.shape == (30,)


def test_anchors_lie_in_the_manifold_and_touch_its_conditions():
    points = CASES["usual"]
    directions = directions_for(points, 50)
    found = anchor_geometry(points, directions, 0.5)
    assert (found.anchors[:, -1] == 1).all()
    extended = np.column_stack([points, np.ones(len(points))])
    for anchor, direction in zip(found.anchors, directions.T, strict=True):
        weights, distance = scipy.optimize.nnls(extended.T, anchor)
        assert distance < 1e-10 and abs(weights.sum() - 1) < 1e-10
        step = max(direction @ anchor + 0.5, 0) / (anchor @ anchor)
        nearest = direction - step * anchor
        assert (extended @ nearest <= -0.5 + 1e-10).all()


def orthogonal_points(m):
    """m points, centered, whose columns with the coordinate 1 are orthogonal and of squared length m."""
    coordinates = scipy.linalg.null_space(np.ones((1, m)))
    return np.sqrt(m) * coordinates


@pytest.mark.parametrize("m", [2, 5, 8])
def test_orthogonal_points_have_capacity_two_over_m_exactly(m):
    points = orthogonal_points(m)
    axes = np.column_stack([points, np.ones(m)]).T / np.sqrt(m)
    signs = np.array(list(itertools.product([-1, 1], repeat=m))).T
    assert abs(anchor_geometry(points, axes @ signs).capacity - 2 / m) <= 1e-12


def test_orthogonal_points_have_capacity_two_over_m_on_average():
    points = orthogonal_points(50)
    found = anchor_geometry(points, directions_for(points, 2000))
    error = found.terms.std(ddof=1) / np.sqrt(2000)
    assert abs(found.terms.mean() - 25) <= 3 * error and error < 0.2


def ball_terms(directions, radius, kappa):
    """Terms of a ball, direction by direction, and its anchors.

    With u the length of a direction's part along the ball and t0 its last coordinate, the anchor is the surface point
    along that part, or inside where that is nearer.
    """
    along, last = directions[:-1], directions[-1] + kappa
    lengths = np.linalg.norm(along, axis=0)
    reach = np.maximum(radius * lengths + last, 0)
    inside = (last > 0) & (lengths < radius * last)
    terms = np.where(inside, lengths**2 + last**2, reach**2 / (1 + radius**2))
    scale = np.where(inside, 1 / np.where(inside, last, 1), radius / lengths)
    return terms, np.vstack([along * scale, np.ones(len(last))]).T


def ball_mean_term(radius, kappa, dimension):
    """1 / capacity of a ball: the mean of its terms over a chi-distributed length and a normal last coordinate."""

    def normal(t):
        return math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)

    def given_length(u):
        # The normal coordinate splits at where the ball's conditions begin to bind and where its inside is nearest.
        start, turn = max(-kappa - radius * u, -12.0), min(u / radius - kappa, 12.0)
        surface = integrate.quad(lambda t: (radius * u + t + kappa) ** 2 / (1 + radius**2) * normal(t), start, turn)[0]
        inside = integrate.quad(lambda t: (u**2 + (t + kappa) ** 2) * normal(t), turn, 12.0)[0]
        chi = 2 * u ** (dimension - 1) * math.exp(-(u**2) / 2) / (2 ** (dimension / 2) * math.gamma(dimension / 2))
        return (surface + inside) * chi

    return integrate.quad(given_length, 0, 12.0 + math.sqrt(dimension))[0]


def circle(n):
    angles = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.cos(angles), np.sin(angles)])


def sphere(n):
    """Points spread evenly over the unit sphere, along a spiral that turns by the golden angle."""
    height = 1 - 2 * (np.arange(n) + 0.5) / n
    angles = np.pi * (1 + np.sqrt(5)) * np.arange(n)
    across = np.sqrt(1 - height**2)
    return np.column_stack([across * np.cos(angles), across * np.sin(angles), height])


@pytest.mark.parametrize("kappa", [0, 0.7])
@pytest.mark.parametrize("radius", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("shape", [circle(400), sphere(800)], ids=["circle", "sphere"])
def test_balls(shape, radius, kappa):
    """The hull of the points holds one ball and lies in another: so do its terms, for every direction."""
    dimension = shape.shape[1]
    inner = radius * -ConvexHull(shape).equations[:, -1].max()
    directions = directions_for(shape, 4000)
    found = anchor_geometry(radius * shape, directions, kappa)
    lower, upper = (ball_terms(directions, r, kappa)[0] for r in (inner, radius))
    assert (lower <= found.terms + 1e-12).all() and (found.terms <= upper + 1e-12).all()

    error = upper.std(ddof=1) / np.sqrt(4000)
    low, high = (ball_mean_term(r, kappa, dimension) for r in (inner, radius))
    assert low - 3 * error <= 1 / found.capacity <= high + 3 * error
    assert high - low < 0.05 * high and error < 0.05 * high

    _, radius_expected, dimension_expected = averages(ball_terms(directions, radius, kappa)[1], directions, kappa)
    assert found.radius == pytest.approx(radius_expected, rel=0.02)
    assert found.dimension == pytest.approx(dimension_expected, rel=0.02)


def test_integral_of_a_point_and_of_a_wide_ball():
    """A point has capacity 2 (Cover); a wide ball takes all its dimensions from each direction and half of one more."""
    assert ball_mean_term(1e-7, 0, 3) == pytest.approx(0.5, rel=1e-5)
    assert ball_mean_term(1e4, 0, 3) == pytest.approx(3.5, rel=1e-3)


@pytest.mark.parametrize("points", [np.zeros((1, 4)), np.zeros((6, 4)), np.full((6, 4), 1e-17)])
def test_a_point_manifold(points):
    directions = directions_for(points, 5000)
    found = anchor_geometry(points, directions)
    assert found.radius == pytest.approx(0, abs=1e-15) and found.dimension == 0
    np.testing.assert_allclose(found.terms, np.maximum(directions[-1], 0) ** 2, rtol=0, atol=1e-14)
    assert abs(1 / found.capacity - 0.5) <= 3 * found.terms.std() / np.sqrt(5000)


def test_directions_that_meet_all_conditions():
    points = cloud(20, 5)
    directions = directions_for(points, 10)
    directions[-1] = -50
    found = anchor_geometry(points, directions)
    assert found.capacity == np.inf and not found.terms.any()
    extended = np.column_stack([points, np.ones(len(points))])
    np.testing.assert_array_equal(found.anchors, extended[(extended @ directions).argmax(axis=0)])
    _, radius, dimension = averages(found.anchors, directions, 0)
    np.testing.assert_allclose([found.radius, found.dimension], [radius, dimension], rtol=1e-12)


def test_a_rotation_changes_nothing_and_duplicates_do_not_either():
    points = cloud(30, 8)
    directions = directions_for(points, 60)
    found = anchor_geometry(points, directions, 0.2)
    rotation = stats.ortho_group.rvs(8, random_state=3)
    rotated = anchor_geometry(points @ rotation.T, np.vstack([rotation @ directions[:-1], directions[-1]]), 0.2)
    repeated = anchor_geometry(np.vstack([points, points[:7]]), directions, 0.2)
    for other in (rotated, repeated):
        np.testing.assert_allclose(other.terms, found.terms, rtol=0, atol=1e-12)
        assert (other.radius, other.dimension) == pytest.approx((found.radius, found.dimension), rel=1e-12)


def test_threads_do_not_change_a_bit():
    manifolds = [cloud(50, 50, radius) for radius in np.geomspace(0.2, 4, 12)]
    directions = directions_for(manifolds[0], 200)
    found = {}
    for n_threads in (1, 2):
        with ThreadPoolExecutor(n_threads) as threads:
            found[n_threads] = list(threads.map(lambda points: anchor_geometry(points, directions), manifolds))
    for one, two in zip(found[1], found[2], strict=True):
        assert one.anchors.tobytes() == two.anchors.tobytes() and one.capacity == two.capacity


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"do not fit: got shapes \(5, 3\), \(3, 10\)"):
        anchor_geometry(np.zeros((5, 3)), np.zeros((3, 10)))
    with pytest.raises(ValueError, match="at least"):
        anchor_geometry(np.zeros((0, 3)), np.zeros((4, 10)))
    with pytest.raises(ValueError, match="at least"):
        anchor_geometry(np.zeros((2, 3)), np.zeros((4, 0)))
    with pytest.raises(ValueError, match="finite"):
        anchor_geometry(np.full((2, 3), np.nan), np.ones((4, 2)))
