"""Moments and their decomposition against plain NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentgen.probes import ClassMoments
from latentgen.probes.leading import leading
from latentgen.probes.moments import BLOCK, SECOND
from latentgen.probes.spectrum import Spectrum

pytestmark = pytest.mark.slow


def decaying(n, d, seed=0, dtype=np.float64):
    """Rows whose axes have clearly different sizes, with a mean."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) * 0.9 ** np.arange(d) + rng.standard_normal(d) / d).astype(dtype)


def filled(X, y, cuts=(), dtype=torch.float64, classes=None, second=("gram",)):
    moments = ClassMoments(X.shape[1], np.unique(y) if classes is None else classes, dtype=dtype, second=second)
    for part, labels in zip(np.split(X, cuts), np.split(y, cuts), strict=True):
        moments.update(part, labels)
    return moments


@pytest.mark.parametrize("size", [1, 2, 3, 17, 200])
def test_spectrum_against_eigh(size):
    X = decaying(3 * size, size)
    gram = torch.from_numpy(X.T @ X)
    spectrum = Spectrum(gram)
    values, vectors = np.linalg.eigh(gram.numpy())
    np.testing.assert_allclose(spectrum.values, values[::-1], rtol=0, atol=1e-13 * values[-1])
    for wanted in {1, (size + 1) // 2, size}:
        found = spectrum.vectors(wanted).numpy()
        assert found.shape == (size, wanted)
        np.testing.assert_allclose(found.T @ found, np.eye(wanted), atol=1e-12)
        np.testing.assert_allclose(
            gram.numpy() @ found, found * spectrum.values.numpy()[:wanted], atol=1e-12 * values[-1]
        )
        ours, theirs = found @ found.T, vectors[:, ::-1][:, :wanted] @ vectors[:, ::-1][:, :wanted].T
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_spectrum_leaves_the_matrix_and_survives_extreme_sizes():
    gram = torch.from_numpy(decaying(90, 30).T @ decaying(90, 30))
    values = Spectrum(gram).values
    for scale in (2.0**-900, 2.0**900):
        scaled = gram * scale
        before = scaled.clone()
        assert torch.equal(Spectrum(scaled).values, values * scale)
        assert torch.equal(scaled, before)


def test_spectrum_of_zero_and_of_equal_eigenvalues():
    zero = Spectrum(torch.zeros((5, 5), dtype=torch.float64))
    assert torch.equal(zero.values, torch.zeros(5, dtype=torch.float64))
    same = Spectrum(3 * torch.eye(40, dtype=torch.float64))
    assert torch.equal(same.values, torch.full((40,), 3.0, dtype=torch.float64))
    vectors = same.vectors(7)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(7, dtype=torch.float64))


@pytest.mark.parametrize("n, d", [(30, 80), (80, 80), (81, 80), (2500, 40), (1500, 1400), (1300, 1400)])
def test_eigen_against_svd(n, d):
    X = decaying(n, d)
    moments = filled(X, np.zeros(n, int))
    _, singular, right = np.linalg.svd(X, full_matrices=False)
    n_axes = 12
    values, axes = moments.eigen(0, n_axes)
    assert values.dtype == axes.dtype == torch.float64
    assert axes.shape == (d, n_axes)
    np.testing.assert_allclose(values, singular**2, rtol=0, atol=1e-12 * singular[0] ** 2)
    np.testing.assert_allclose(np.abs(np.sum(axes.numpy() * right[:n_axes].T, axis=0)), 1, atol=1e-9)


@pytest.mark.parametrize("n, d", [(700, 60), (3000, 60), (60, 700)])
def test_sums_and_float32(n, d):
    X = decaying(n, d, dtype=np.float32)
    y = np.arange(n) % 3
    moments = filled(X, y, dtype=torch.float32)
    np.testing.assert_array_equal(moments.counts, np.bincount(y))
    np.testing.assert_allclose(moments.sum(), X.sum(0, dtype=np.float64), rtol=1e-12, atol=1e-12)
    assert moments.square_sum() == pytest.approx(np.square(X, dtype=np.float64).sum(), rel=1e-12)
    for k in range(3):
        exact = np.linalg.svd(X[y == k].astype(np.float64), compute_uv=False) ** 2
        # Rounding of the float32 products of a block.
        np.testing.assert_allclose(moments.eigen(k)[0], exact, rtol=0, atol=1e-6 * exact[0])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(2 * BLOCK + 300, 7), (BLOCK + 5, BLOCK), (300, 500), (BLOCK + 700, BLOCK + 600)]),
    st.lists(st.floats(0, 1), max_size=6),
)
def test_batching_does_not_change_a_bit(shape, cuts):
    n, d = shape
    X = np.random.default_rng(3).standard_normal((n, d)).astype(np.float32)
    y = np.arange(n) // (n // 5 + 1) % 2
    whole = filled(X, y, dtype=torch.float32, second=SECOND)
    parts = filled(X, y, sorted(int(cut * n) for cut in cuts), dtype=torch.float32, second=SECOND)
    assert torch.equal(whole.sum(), parts.sum())
    assert whole.square_sum() == parts.square_sum()
    assert torch.equal(whole.scatter(), parts.scatter())
    for k in range(2):
        for ours, theirs in zip(whole.eigen(k, 3), parts.eigen(k, 3), strict=True):
            assert torch.equal(ours, theirs)


def centred_products(X):
    X = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    return X.T @ X


@pytest.mark.parametrize("mean", [0, 1000])
@pytest.mark.parametrize("dtype, rounding", [(torch.float32, 1e-6), (torch.float64, 1e-10)])
@pytest.mark.parametrize("n, d", [(7000, 30), (900, 30), (60, 200), (2600, 1200)])
def test_scatter_against_numpy_also_when_the_mean_outweighs_the_spread(n, d, dtype, rounding, mean):
    rng = np.random.default_rng(0)
    X = decaying(n, d, dtype=np.float32) + mean * rng.standard_normal(d).astype(np.float32)
    y = rng.integers(0, 2, n)
    collected = filled(X, y, [n // 3], dtype=dtype, second=("scatter",))
    exact = [centred_products(X[y == k]) for k in range(2)]
    for k in range(2):
        error = np.linalg.norm(collected.scatter(k).numpy() - exact[k])
        assert error < rounding * np.linalg.norm(exact[k])
    assert np.linalg.norm(collected.scatter().numpy() - sum(exact)) < rounding * np.linalg.norm(sum(exact))
    np.testing.assert_allclose(collected.sums(), [X[y == k].sum(axis=0, dtype=np.float64) for k in range(2)], rtol=1e-9)
    # Asked again after more rows, it has them: nothing is used up.
    collected.update(X[:50], y[:50])
    more = centred_products(np.vstack([X, X[:50]])[np.hstack([y, y[:50]]) == 1])
    assert np.linalg.norm(collected.scatter(1).numpy() - more) < rounding * np.linalg.norm(more)


def test_scatter_by_panels(monkeypatch):
    X = decaying(3000, 50)
    y = np.arange(3000) % 3
    whole = filled(X, y, second=["scatter"]).scatter()
    monkeypatch.setattr("latentgen.probes.products.PANEL", 16)
    torch.testing.assert_close(filled(X, y, second=["scatter"]).scatter(), whole, rtol=1e-13, atol=1e-10)


def test_what_else_is_collected_changes_no_bit():
    for n, d in ((2600, 40), (50, 90), (2600, 1100)):
        X = np.random.default_rng(4).standard_normal((n, d)).astype(np.float32)
        y = np.arange(n) % 2
        both = filled(X, y, dtype=torch.float32, second=SECOND)
        gram, scatter, none = (filled(X, y, dtype=torch.float32, second=s) for s in (["gram"], ["scatter"], []))
        for ours, theirs in zip(both.eigen(1, 5), gram.eigen(1, 5), strict=True):
            assert torch.equal(ours, theirs)
        assert torch.equal(both.scatter(1), scatter.scatter(1))
        assert torch.equal(both.sums(), none.sums()) and both.square_sum() == none.square_sum()
        np.testing.assert_array_equal(none.counts, both.counts)


def test_scatter_of_missing_and_single_rows():
    collected = filled(np.array([[1.0, 2.0], [3.0, 5.0], [5.0, 5.0]]), [0, 2, 2], classes=range(4), second=["scatter"])
    assert torch.equal(collected.scatter(0), torch.zeros((2, 2), dtype=torch.float64))
    assert torch.equal(collected.scatter(1), torch.zeros((2, 2), dtype=torch.float64))
    assert collected.scatter(2).tolist() == [[2.0, 0.0], [0.0, 0.0]]
    assert torch.equal(collected.scatter(), collected.scatter(2))
    assert collected.sums().tolist() == [[1.0, 2.0], [0.0, 0.0], [8.0, 10.0], [0.0, 0.0]]


def test_decomposing_in_between_changes_nothing():
    X = decaying(2200, 20, dtype=np.float32)
    y = np.zeros(len(X), int)
    moments = ClassMoments(20, [0])
    moments.update(X[:10], y[:10])
    assert len(moments.eigen(0, 2)[0]) == 10
    moments.update(X[10:1500], y[10:1500])
    moments.eigen(0, 2)
    moments.update(X[1500:], y[1500:])
    for ours, theirs in zip(moments.eigen(0, 5), filled(X, y, dtype=torch.float32).eigen(0, 5), strict=True):
        assert torch.equal(ours, theirs)
    before = moments.eigen(0, 5)
    moments.release()
    for ours, theirs in zip(moments.eigen(0, 5), before, strict=True):
        assert torch.equal(ours, theirs)


def test_dual_equals_primal():
    X = decaying(60, 60)
    y = np.zeros(60, int)
    dual = filled(X, y)
    # A zero row changes no moment but makes the rows outnumber the features.
    primal = filled(np.vstack([X, np.zeros((1, 60))]), np.zeros(61, int))
    ours, theirs = dual.eigen(0, 10), primal.eigen(0, 10)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-12 * float(ours[0][0]))
    torch.testing.assert_close(ours[1] @ ours[1].T, theirs[1] @ theirs[1].T, rtol=0, atol=1e-10)


def test_ill_conditioned_dual_axes_are_orthonormal():
    rng = np.random.default_rng(0)
    left, right = (
        np.linalg.qr(rng.standard_normal((40, 12)))[0],
        np.linalg.qr(rng.standard_normal((300, 12)))[0],
    )
    X = left * 10.0 ** -(np.arange(12) / 2) @ right.T
    moments = filled(X, np.zeros(40, int))
    assert moments.rank(0) == 12
    axes = moments.eigen(0, 12)[1].numpy()
    np.testing.assert_allclose(axes.T @ axes, np.eye(12), atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(axes * right, axis=0)), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n, d", [(3000, 300), (200, 300)])
def test_numerical_rank(n, d, dtype):
    rng = np.random.default_rng(1)
    for rank in (1, 40):
        X = np.maximum(rng.standard_normal((n, rank)), 0)[:, rng.permutation(np.arange(d) % rank)]
        assert filled(X, np.zeros(n, int), dtype=dtype).rank(0) == rank
    full = rng.standard_normal((n, d))
    assert filled(full, np.zeros(n, int), dtype=dtype).rank(0) == min(n, d)


def test_strings_missing_and_zero_classes():
    X = np.array([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    moments = ClassMoments(3, ["c", "a", "b", "a"], dtype=torch.float64).update(X, ["a", "c", "c"])
    assert list(moments.classes) == ["a", "b", "c"]
    np.testing.assert_array_equal(moments.counts, [1, 0, 2])
    assert [moments.rank(k) for k in range(3)] == [1, 0, 0]
    values, axes = moments.eigen(0, 1)
    assert values.tolist() == pytest.approx([9.0])
    np.testing.assert_allclose(axes[:, 0].abs(), [1 / 3, 2 / 3, 2 / 3], rtol=1e-14)
    assert moments.eigen(1)[0].shape == (0,)
    assert moments.eigen(2)[0].tolist() == [0.0, 0.0]
    assert moments.eigen(2)[1].shape == (3, 0)


def test_refusals():
    with pytest.raises(ValueError, match="at least one feature"):
        ClassMoments(0, [0])
    with pytest.raises(ValueError, match="at least one feature"):
        ClassMoments(3, [])
    with pytest.raises(ValueError, match="dtype"):
        ClassMoments(3, [0], dtype=torch.float16)
    with pytest.raises(ValueError, match="second must be"):
        ClassMoments(3, [0], second=["mean"])
    with pytest.raises(ValueError, match="collected without gram"):
        filled(np.ones((2, 3)), [0, 0], second=["scatter"]).eigen(0)
    with pytest.raises(ValueError, match="collected without scatter"):
        filled(np.ones((2, 3)), [0, 0]).scatter()
    moments = ClassMoments(3, [0, 1])
    with pytest.raises(ValueError, match="not among classes"):
        moments.update(np.ones((2, 3)), [0, 2])
    with pytest.raises(ValueError, match="expected X of shape"):
        moments.update(np.ones((2, 4)), [0, 1])
    with pytest.raises(ValueError, match="expected X of shape"):
        moments.update(np.ones((2, 3)), [0])
    assert moments.counts.sum() == 0
    moments.update(np.ones((2, 3)), [0, 0])
    with pytest.raises(ValueError, match="numerical rank 1, 2 axes"):
        moments.eigen(0, 2)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            ClassMoments(3, [0]).update(np.full((5, 3), bad, np.float32), np.zeros(5)).eigen(0)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            ClassMoments(3, [0], second=["scatter"]).update(np.full((5, 3), bad), np.zeros(5)).scatter()


@pytest.mark.gpu
def test_gpu_agrees_even_if_training_allowed_tf32():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    X = decaying(5000, 200, dtype=np.float32)
    y = np.arange(5000) % 2
    host = filled(X, y, dtype=torch.float32)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        device = ClassMoments(200, [0, 1], device="cuda").update(torch.from_numpy(X).cuda(), y)
        values, axes = device.eigen(0, 20)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    expected, expected_axes = host.eigen(0, 20)
    assert axes.is_cuda
    torch.testing.assert_close(values.cpu(), expected, rtol=0, atol=1e-6 * float(expected[0]))
    torch.testing.assert_close(axes.cpu() @ axes.cpu().T, expected_axes @ expected_axes.T, rtol=0, atol=1e-4)


@pytest.mark.parametrize("power", [-140, -120, -63, 63, 120])
@pytest.mark.parametrize("n_features", [6, 90], ids=["tall", "wide"])
def test_rows_whose_squares_leave_float32(power, n_features):
    """Float32 rows times a power of two have the same moments times its square, however they are cut into batches."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(-7, 8, (80, n_features)).astype(np.float32), rng.integers(0, 2, 80)
    second = ("gram", "scatter")
    plain = ClassMoments(n_features, [0, 1], second=second).update(X, y)
    scaled = ClassMoments(n_features, [0, 1], second=second).update(np.zeros((3, n_features), np.float32), [0, 0, 1])
    plain.update(np.zeros((3, n_features), np.float32), [0, 0, 1])
    small = X * np.float32(2.0**power)
    assert np.isfinite(small).all() and (small != 0).sum() == (X != 0).sum()
    for start in range(0, 80, 30):
        scaled.update(small[start : start + 30], y[start : start + 30])
    factor = 2.0**power
    np.testing.assert_allclose(scaled.sums() / factor, plain.sums(), atol=1e-12)
    assert scaled.square_sum() == pytest.approx(plain.square_sum() * factor**2, rel=1e-12)
    for k in (0, 1):
        assert scaled.rank(k) == plain.rank(k) > 1
        np.testing.assert_allclose(scaled.eigen(k)[0] / factor**2, plain.eigen(k)[0], atol=1e-9)
        np.testing.assert_allclose(scaled.scatter(k) / factor**2, plain.scatter(k), atol=1e-3)


def test_rows_of_very_different_batches_are_scaled_together():
    """A batch that is far larger than those before it: what is lost is below its rounding."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 5)).astype(np.float32), np.arange(60) % 2
    parts = [X[:20] * np.float32(1e-30), X[20:40] * np.float32(1e25), X[40:] * np.float32(1e30)]
    moments = ClassMoments(5, [0, 1], second=("gram", "scatter"))
    for number, part in enumerate(parts):
        moments.update(part, y[20 * number : 20 * number + 20])
    exact = np.concatenate(parts).astype(np.float64)
    for k in (0, 1):
        mine = exact[y == k]
        values = np.linalg.eigvalsh(mine.T @ mine)[::-1]
        np.testing.assert_allclose(moments.eigen(k)[0], values, rtol=1e-5)
        centred = mine - mine.mean(axis=0)
        np.testing.assert_allclose(moments.scatter(k), centred.T @ centred, rtol=1e-4, atol=1e-5 * values[0])


# --- the leading axis alone -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 40, 400])
def test_leading_against_eigh(size):
    X = decaying(3 * size, size)
    gram = torch.from_numpy(X.T @ X)
    found = leading(lambda vector: gram @ vector, size)
    expected = np.linalg.eigh(gram.numpy())[1][:, -1]
    assert found.dtype == torch.float64 and float(found.norm()) == pytest.approx(1, abs=1e-14)
    assert abs(found.numpy() @ expected) == pytest.approx(1, abs=1e-13)


def test_leading_of_equal_eigenvalues_is_one_of_them_and_of_near_ones_is_not_found():
    same = leading(lambda vector: 3 * vector, 50)
    assert float(same.norm()) == pytest.approx(1)
    near = torch.linspace(1, 2, 3000, dtype=torch.float64)
    assert leading(lambda vector: near * vector, 3000) is None


@pytest.mark.parametrize("n, d", [(900, 300), (200, 700), (1500, 1400), (700, 200)])
@pytest.mark.parametrize("spread", ["decaying", "near"])
def test_leading_axis_against_svd_whatever_was_decomposed_before(n, d, spread):
    X = decaying(n, d)
    if spread == "near":  # eigenvalues of noise lie so near one another that steps do not suffice
        X = np.random.default_rng(5).standard_normal((n, d))
    moments, before = filled(X, np.zeros(n, int)), filled(X, np.zeros(n, int))
    before.eigen(0, 5)
    found = moments.leading_axis(0)
    assert found.shape == (d, 1) and found.dtype == torch.float64
    right = np.linalg.svd(X, full_matrices=False)[2][0]
    assert abs(found[:, 0].numpy() @ right) == pytest.approx(1, abs=1e-9)
    assert torch.equal(before.leading_axis(0), found)
    assert torch.equal(filled(X, np.zeros(n, int), [n // 3]).leading_axis(0), found)


@pytest.mark.parametrize("d", [5, 300])
def test_leading_axis_of_edge_cases(d):
    X = np.random.default_rng(0).standard_normal((6, d))
    X[3:] = 0
    moments = filled(X, np.repeat([0, 1], 3), classes=[0, 1, 2])
    assert [moments.leading_axis(k).shape for k in range(3)] == [(d, 1), (d, 0), (d, 0)]
    for scale in (1e-200, 1e150):
        torch.testing.assert_close(filled(X * scale, np.repeat([0, 1], 3)).leading_axis(0), moments.leading_axis(0))
    for bad in (np.nan, np.inf):
        X[0, 0] = bad
        with pytest.raises(ValueError, match="not finite"):
            filled(X, np.repeat([0, 1], 3)).leading_axis(0)
    with pytest.raises(ValueError, match="without gram"):
        filled(X, np.repeat([0, 1], 3), second=("scatter",)).leading_axis(0)
