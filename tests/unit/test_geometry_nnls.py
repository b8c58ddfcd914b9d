"""Non-negative least squares against SciPy, interior points and closed forms, degenerate problems above all."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import cvxopt
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from latentgen.geometry import nnls

pytestmark = pytest.mark.slow


def extended(points):
    """Points as columns, a coordinate 1 appended: the matrix of the manifold analysis."""
    return np.vstack([np.transpose(points), np.ones(len(points))])


def problems():
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((50, 50))
    few = rng.standard_normal((12, 20))
    line = np.outer(np.linspace(-2, 3, 15), rng.standard_normal(8))
    lattice = np.array(np.meshgrid(*[[-1.0, 0, 1]] * 3)).reshape(3, -1).T
    return {
        "anchors of a wide manifold": extended(cloud),
        "anchors of a narrow manifold": extended(cloud / np.sqrt(50)),
        "decaying spectrum": extended(cloud * np.arange(1.0, 51) ** -1.5),
        "more points than dimensions": extended(rng.standard_normal((50, 10))),
        "hundreds of points in three dimensions": extended(rng.standard_normal((400, 3))),
        "duplicates": extended(np.repeat(few, 3, axis=0)),
        "duplicates up to rounding": extended(np.repeat(few, 3, axis=0) + 1e-16 * rng.standard_normal((36, 20))),
        "multiples of the same columns": np.hstack([few.T, 1e-5 * few.T, 1e5 * few.T]),
        "collinear": extended(line),
        "nearly parallel": extended(few[:1] + 1e-5 * few),
        "lattice": extended(lattice),
        "half of the columns inside the cone of the others": np.hstack([few.T, few.T @ rng.random((12, 12))]),
        "a cone that is a subspace": np.hstack([few.T, -few.T]),
        "one column": few[:1].T,
        "a column of zeros": np.hstack([few.T, np.zeros((20, 1))]),
        "all columns zero": np.zeros((4, 3)),
        "one row": rng.standard_normal((1, 5)),
    }


PROBLEMS = problems()


def drawn(matrix, n=20, seed=1):
    return np.random.default_rng(seed).standard_normal((len(matrix), n))


def ties(matrix, seed=2):
    """Targets inside the cone of the columns, on its faces, in its polar cone, and their projections on the cone."""
    rng = np.random.default_rng(seed)
    weights = rng.random((matrix.shape[1], 12))
    weights[:, 6:] *= rng.random((matrix.shape[1], 6)) < 0.1
    inside = np.hstack([matrix @ weights, matrix[:, :1], np.zeros((len(matrix), 1))])
    outside = drawn(matrix, 12, seed)
    polar = outside - matrix @ nnls.solve(matrix, outside).T
    return np.hstack([inside, polar]), np.hstack([inside, np.zeros_like(polar)])


def assert_optimal(matrix, targets, multipliers, tolerance=1e-12):
    """Karush-Kuhn-Tucker: no negative multiplier, no column that comes nearer, none in use that could come nearer."""
    assert (multipliers >= 0).all()
    lengths = np.linalg.norm(matrix, axis=0)
    scale = np.linalg.norm(targets, axis=0) + multipliers @ lengths
    gradients = (targets.T - multipliers @ matrix.T) @ matrix
    allowed = tolerance * np.outer(scale, lengths)
    assert (gradients <= allowed).all()
    assert (np.abs(gradients) <= allowed)[multipliers > 0].all()


def by_interior_points(matrix, target):
    """The projection on the cone of the columns: what the nearest point of its polar cone leaves of the target."""
    options = {"show_progress": False, "abstol": 1e-13, "reltol": 1e-13, "feastol": 1e-13}
    lengths = np.linalg.norm(matrix, axis=0)
    rows = np.ascontiguousarray((matrix / np.where(lengths > 0, lengths, 1)).T)
    identity, zeros = cvxopt.matrix(np.eye(len(matrix))), cvxopt.matrix(np.zeros(len(rows)))
    found = cvxopt.solvers.qp(identity, cvxopt.matrix(-target), cvxopt.matrix(rows), zeros, options=options)
    return target - np.ravel(found["x"])


def nothing(columns, sides):
    return np.full((len(sides), len(columns)), -1.0)


@pytest.fixture(params=["as it comes", "by QR alone"])
def way(request, monkeypatch):
    if request.param == "by QR alone":
        monkeypatch.setattr(nnls, "_by_cholesky", nothing)
    # Nothing here may be left to the last resort.
    monkeypatch.setattr(nnls, "_by_scipy", nothing)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", PROBLEMS)
def test_drawn_targets_against_scipy_and_interior_points(name):
    matrix = PROBLEMS[name]
    targets = drawn(matrix)
    multipliers = nnls.solve(matrix, targets)
    assert multipliers.shape == (targets.shape[1], matrix.shape[1]) and multipliers.dtype == np.float64
    assert_optimal(matrix, targets, multipliers)
    for target, found in zip(targets.T, multipliers, strict=True):
        tolerance = 1e-8 * np.linalg.norm(target)
        reference, _ = scipy.optimize.nnls(matrix, target)
        np.testing.assert_allclose(matrix @ found, matrix @ reference, rtol=0, atol=tolerance)
        np.testing.assert_allclose(matrix @ found, by_interior_points(matrix, target), rtol=0, atol=tolerance)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", PROBLEMS)
def test_targets_inside_the_cone_and_its_polar_cone(name):
    # The projections are known; SciPy's solver misses some of them, and says that it has them.
    matrix = PROBLEMS[name]
    targets, projections = ties(matrix)
    multipliers = nnls.solve(matrix, targets)
    assert_optimal(matrix, targets, multipliers)
    error = np.linalg.norm(matrix @ multipliers.T - projections, axis=0)
    assert (error <= 1e-10 * np.maximum(np.linalg.norm(targets, axis=0), 1)).all()


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "anchors" in name or PROBLEMS[name].shape[1] < 40])
def test_sum_of_multipliers_is_unique_under_a_row_of_ones(name):
    matrix = PROBLEMS[name].copy()
    matrix[-1] = 1
    targets = drawn(matrix)
    multipliers = nnls.solve(matrix, targets)
    for target, found in zip(targets.T, multipliers, strict=True):
        reference, _ = scipy.optimize.nnls(matrix, target)
        np.testing.assert_allclose(found.sum(), reference.sum(), rtol=0, atol=1e-8 * np.linalg.norm(target))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_small_integers_against_every_support(data):
    """Ties, dependent and repeated columns abound; the nearest of all least-squares solutions that are non-negative."""
    d, m = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    entries = st.integers(-2, 2).map(float)
    matrix, target = (
        data.draw(hnp.arrays(float, (d, m), elements=entries)),
        data.draw(hnp.arrays(float, d, elements=entries)),
    )
    found = nnls.solve(matrix, target[:, None])
    assert_optimal(matrix, target[:, None], found)
    best = np.zeros(d)
    for size in range(1, d + 1):  # a projection needs no more columns than dimensions, and independent ones
        for support in itertools.combinations(range(m), size):
            columns = matrix[:, support]
            if np.linalg.matrix_rank(columns) == size:
                values = np.linalg.lstsq(columns, target)[0]
                if (values > -1e-12).all() and np.linalg.norm(columns @ values - target) < np.linalg.norm(
                    best - target
                ):
                    best = columns @ values
    np.testing.assert_allclose(matrix @ found[0], best, rtol=0, atol=1e-9)


# Below an angle of 1e-7 a column may stay out that would come nearer by less than that angle.
@pytest.mark.parametrize("angle, tolerance", [(1e-3, 1e-15), (1e-6, 1e-15), (1e-9, 2e-9)])
def test_nearly_parallel_columns_in_closed_form(angle, tolerance):
    matrix = np.array([[1, 1], [angle, -angle]])
    targets = np.array([[1, 1, 2, -1], [0, 1, angle, 0.0]])
    side = (1 + angle) / (1 + angle**2)
    np.testing.assert_allclose(
        matrix @ nnls.solve(matrix, targets).T, [[1, side, 2, 0], [0, side * angle, angle, 0]], rtol=0, atol=tolerance
    )


def test_scales_of_columns_and_targets_do_not_matter():
    matrix = PROBLEMS["anchors of a narrow manifold"]
    targets = drawn(matrix)
    columns, sides = 2.0 ** np.arange(-600, 600, 24), 2.0 ** np.arange(-200, 200, 20)
    np.testing.assert_array_equal(
        nnls.solve(matrix * columns, targets * sides), nnls.solve(matrix, targets) * sides[:, None] / columns
    )


def test_each_problem_is_solved_by_itself():
    matrix = PROBLEMS["anchors of a wide manifold"]
    targets = drawn(matrix, 40)
    together = nnls.solve(matrix, targets)
    alone = [nnls.solve(matrix, targets[:, [j]])[0] for j in range(40)]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(nnls.solve(np.asfortranarray(matrix), targets[:, ::-1]), together[::-1])


def test_threads_do_not_change_a_bit():
    matrices = list(PROBLEMS.values()) * 3
    found = {}
    for n_threads in (1, 2):
        with ThreadPoolExecutor(n_threads) as threads:
            found[n_threads] = list(threads.map(lambda matrix: nnls.solve(matrix, drawn(matrix, 100)), matrices))
    for one, two in zip(found[1], found[2], strict=True):
        assert one.tobytes() == two.tobytes()


def test_no_columns_and_no_targets():
    assert nnls.solve(np.empty((3, 0)), np.ones((3, 2))).shape == (2, 0)
    assert nnls.solve(np.ones((3, 2)), np.empty((3, 0))).shape == (0, 2)


def test_wrong_solutions_are_noticed_and_found_again(monkeypatch):
    matrix = PROBLEMS["anchors of a narrow manifold"]
    targets = drawn(matrix)
    expected = nnls.solve(matrix, targets)
    right = nnls._by_qr

    def wrong(columns, sides):
        found = right(columns, sides)
        for row in found[1:4:2]:
            row[row.argmax()] *= 1 + 1e-8
        return found

    for method in ("_by_cholesky", "_by_qr"):
        monkeypatch.setattr(nnls, method, wrong)
        np.testing.assert_allclose(nnls.solve(matrix, targets), expected, rtol=0, atol=1e-12)
    monkeypatch.setattr(nnls, "_by_qr", nothing)
    monkeypatch.setattr(nnls, "_by_scipy", nothing)
    with pytest.raises(np.linalg.LinAlgError, match=r"target 1 \(and 1 more\): the best solution violates"):
        nnls.solve(matrix, targets)


def test_no_solution_within_scipys_limit(monkeypatch):
    def no_solution(*arguments):
        raise RuntimeError("maximum number of iterations")

    for method in ("_by_cholesky", "_by_qr"):
        monkeypatch.setattr(nnls, method, nothing)
    matrix = PROBLEMS["anchors of a wide manifold"]
    np.testing.assert_allclose(
        matrix @ nnls.solve(matrix, drawn(matrix, 1))[0],
        by_interior_points(matrix, drawn(matrix, 1)[:, 0]),
        rtol=0,
        atol=1e-8,
    )
    monkeypatch.setattr(scipy.optimize, "nnls", no_solution)
    with pytest.raises(np.linalg.LinAlgError, match="target 0"):
        nnls.solve(matrix, drawn(matrix))


def test_refuses_what_is_no_problem():
    with pytest.raises(ValueError, match=r"must share d, got shapes \(3, 2\), \(4, 2\)"):
        nnls.solve(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="must share d"):
        nnls.solve(np.ones((3, 2)), np.ones(3))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="must be finite"):
            nnls.solve(np.full((3, 2), bad), np.ones((3, 1)))
        with pytest.raises(ValueError, match="must be finite"):
            nnls.solve(np.ones((3, 2)), np.full((3, 1), bad))
