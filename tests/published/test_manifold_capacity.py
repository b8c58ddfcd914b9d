"""Mean-field geometry of the published code's check case.

P = 10 manifolds of M = 20 points in N = 100 features, with 100 directions each; the values are those of the published
code of Cohen et al. (2020) on these arrays.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from latentgen.geometry import manifold_geometry
from latentgen.geometry.centers import center_axes

pytestmark = pytest.mark.published


@pytest.fixture(scope="module")
def check():
    folder = Path(os.environ.get("LATENTGEN_REFERENCE", "reference")) / "mftma"
    files = [folder / "small.npz", folder / "small_center_subspace.npz"]
    if missing := [str(file) for file in files if not file.is_file()]:
        pytest.skip(f"LATENTGEN_REFERENCE={folder.parent} has no {', '.join(missing)}")
    arrays, subspace = (np.load(file) for file in files)
    return [part.T for part in arrays["X"]], list(arrays["t_vecs"]), subspace["V"]


@pytest.mark.parametrize(
    "kappa, capacity, radius, dimension",
    [(0.0, 0.3832054, 0.9747409, 4.1878293), (0.5, 0.2611069, 0.8875314, 4.6116834)],
)
def test_whole_analysis(check, kappa, capacity, radius, dimension):
    manifolds, t, _ = check
    result = manifold_geometry(manifolds, kappa, t=t)
    assert result.n_center_axes == 1
    assert result.center_correlation == pytest.approx(0.1242332, abs=1e-7)
    assert (result.capacity, result.radius, result.dimension) == pytest.approx((capacity, radius, dimension), rel=1e-5)
    assert len(set(result.objectives.round(5))) == 3  # local minima that ten restarts end in
    assert 0.01 < result.capacity_spread / result.capacity < 0.06


@pytest.mark.parametrize(
    "kappa, capacity, radius, dimension", [(0.0, 0.3844347, 0.9805273, 4.1566119), (0.5, 0.261785, 0.890453, 4.589503)]
)
def test_given_center_axes(check, kappa, capacity, radius, dimension):
    manifolds, t, axes = check
    result = manifold_geometry(manifolds, kappa, t=t, axes=axes)
    assert (result.capacity, result.radius, result.dimension) == pytest.approx((capacity, radius, dimension), rel=1e-6)
    assert result.n_center_axes == 1 and np.isnan(result.capacity_spread)


def test_center_axes_are_as_good_as_the_published_ones(check):
    points = np.stack(check[0])
    found = center_axes(points.mean(1) - points.mean((0, 1)))
    assert found.axes.shape[1] == 1
    assert found.objective <= 6.44166 * (1 + 1e-6)
    assert found.mean_cosine == pytest.approx(0.14615, abs=1e-5)
