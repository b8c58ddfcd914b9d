"""MASC and VeLPIC against naive implementations; their edge cases; what goes in and comes out."""

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from latentgen.probes import MASC, ClassMoments, VeLPIC
from latentgen.probes.subspace import _sign

PROBES = [MASC(), MASC(variance=0.6), MASC(variance=1.0), MASC(n_axes=2), VeLPIC()]


def clouds(n, d, n_classes=3, seed=0):
    """Rows around one direction per class, with decaying spread, and labels that cover every class."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    centres = rng.standard_normal((n_classes, d))
    X = centres[y] + rng.standard_normal((n, d)) * 0.8 ** np.arange(d) @ rng.standard_normal((d, d))
    return X, y


def naive_axes(X, variance):
    """Principal axes of a class as published: PCA of X stacked on -X, 1 + #{cumulative ratio <= variance}."""
    pca = PCA(svd_solver="full").fit(np.vstack([X, -X]))
    kept = 1 + int((np.cumsum(pca.explained_variance_ratio_) <= variance).sum())
    return pca.components_[:kept].T


def naive_angles(X, axes):
    """Angle (n,) between each row and its projection on the span of the axes."""
    projection = X @ axes @ axes.T
    norms = np.linalg.norm(X, axis=1) * np.linalg.norm(projection, axis=1)
    return np.arccos(np.clip(np.sum(X * projection, axis=1) / norms, -1, 1))


@pytest.mark.parametrize("estimator", PROBES, ids=repr)
def test_scikit_learn_checks(estimator):
    check_estimator(estimator)


@pytest.mark.parametrize("n, d", [(300, 10), (300, 150), (2500, 6)])
@pytest.mark.parametrize("variance", [0.5, 0.9, 0.99])
def test_masc_against_pca_and_arccos(n, d, variance):
    X, y = clouds(n, d)
    T = clouds(200, d, seed=1)[0]
    probe = MASC(variance=variance).fit(X, y)
    axes = [naive_axes(X[y == k], variance) for k in range(3)]
    assert list(probe.ranks_) == [a.shape[1] for a in axes]
    for ours, theirs in zip(probe.axes_, axes, strict=True):
        np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-8)
    angles = np.stack([naive_angles(T, a) for a in axes], axis=1)
    np.testing.assert_allclose(probe.decision_function(T), np.cos(angles) ** 2, atol=1e-8)
    np.testing.assert_array_equal(probe.predict(T), angles.argmin(axis=1))


@pytest.mark.parametrize("n, d", [(300, 10), (90, 150)])
def test_velpic_against_svd(n, d):
    X, y = clouds(n, d)
    T = clouds(200, d, seed=1)[0]
    axes = np.stack([np.linalg.svd(X[y == k], full_matrices=False)[2][0] for k in range(3)])
    axes *= np.sign(axes @ X.mean(0))[:, None]
    probe = VeLPIC().fit(X, y)
    np.testing.assert_allclose(np.hstack(probe.axes_).T, axes, atol=1e-9)
    np.testing.assert_allclose(probe.decision_function(T), T @ axes.T, atol=1e-8)
    np.testing.assert_array_equal(probe.predict(T), (T @ axes.T).argmax(axis=1))


@pytest.mark.parametrize("estimator", PROBES, ids=repr)
@pytest.mark.parametrize("shape", [(3000, 12), (200, 90)])
def test_partial_fit_and_shared_moments_equal_fit(estimator, shape):
    X, y = clouds(*shape)
    T = clouds(50, shape[1], seed=1)[0]
    expected = estimator.fit(X, y).decision_function(T)
    batched = type(estimator)(**estimator.get_params())
    for start in range(0, len(X), 170):
        batched.partial_fit(X[start : start + 170], y[start : start + 170], classes=[0, 1, 2])
    np.testing.assert_allclose(batched.decision_function(T), expected, rtol=0, atol=1e-10)
    moments = ClassMoments(shape[1], [0, 1, 2], dtype=torch.float64).update(X, y)
    other = MASC(variance=0.3).fit_moments(moments)
    shared = type(estimator)(**estimator.get_params()).fit_moments(moments)
    np.testing.assert_allclose(shared.decision_function(T), expected, rtol=0, atol=1e-10)
    assert (other.ranks_ < 12).all()


def test_partial_fit_goes_on_from_fit_and_is_used_in_between():
    X, y = clouds(300, 8)
    probe = MASC().fit(X[:100], y[:100])
    probe.predict(X)
    probe.partial_fit(X[100:], y[100:])
    np.testing.assert_array_equal(probe.decision_function(X), MASC().fit(X, y).decision_function(X))
    moments = ClassMoments(8, [0, 1, 2]).update(X, y)
    with pytest.raises(ValueError, match="classes must be passed"):
        MASC().fit_moments(moments).partial_fit(X, y)
    with pytest.raises(ValueError, match="differs from the classes so far"):
        probe.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="not among classes"):
        probe.partial_fit(X, y + 1)


def test_ratio_that_equals_the_fraction_counts():
    # Ten equal eigenvalues: half of the variance is reached at five axes, and the rule keeps one more.
    rotation = ortho_group.rvs(10, random_state=0)
    X = np.vstack([rotation, 2 * rotation[:3]])
    y = np.array([0] * 10 + [1] * 3)
    for variance, kept in ((0.5, 6), (0.3, 4), (0.55, 6), (0.9, 10), (0.95, 10), (1.0, 10)):
        assert MASC(variance=variance).fit(X, y).ranks_[0] == kept
    assert list(MASC(n_axes=5).fit(X, y).ranks_) == [5, 3]
    assert list(MASC(variance=0.1, n_axes=1).fit(X, y).ranks_) == [1, 1]


@pytest.mark.parametrize(
    "parameters",
    [
        {"variance": 0},
        {"variance": 1.1},
        {"variance": "a"},
        {"n_axes": 0},
        {"n_axes": 1.5},
        {"variance": np.nan},
    ],
)
def test_parameters_out_of_range(parameters):
    X, y = clouds(20, 4)
    moments = ClassMoments(4, [0, 1, 2]).update(X, y)
    for call in (
        lambda probe: probe.fit(X, y),
        lambda probe: probe.partial_fit(X, y, [0, 1, 2]),
        lambda probe: probe.fit_moments(moments),
    ):
        with pytest.raises(ValueError, match="variance must|n_axes must"):
            call(MASC(**parameters))


def test_edge_cases_of_masc():
    # Class 0 is missing, 1 has one example, 2 only zero vectors, 3 has rank two, 4 spans the space.
    X = np.array(
        [[3, 4, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
        float,
    )
    y = np.array([1, 2, 2, 3, 3, 3, 4, 4, 4])
    probe = MASC(variance=1.0).partial_fit(X, y, classes=range(5))
    assert list(probe.ranks_) == [0, 1, 0, 2, 3]
    T = np.array([[0, 0, 0], [3, 4, 0], [1, 0, 0], [0, 5, -5], [1, 1, 1]], float)
    expected = np.array(
        [
            [-np.inf, 0, 0, 0, 0],
            [-np.inf, 1, 0, 16 / 25, 1],
            [-np.inf, 9 / 25, 0, 0, 1],
            [-np.inf, 16 / 50, 0, 1, 1],
            [-np.inf, 49 / 75, 0, 2 / 3, 1],
        ]
    )
    scores = probe.decision_function(T)
    np.testing.assert_allclose(scores, expected, atol=1e-14)
    np.testing.assert_array_equal(scores == scores.max(axis=1, keepdims=True), expected == expected.max(1)[:, None])
    np.testing.assert_array_equal(probe.predict(T), [1, 1, 4, 3, 4])


def test_edge_cases_of_velpic():
    X = np.array([[3, 4, 0], [0, 0, 0], [0, 0, 1], [0, 0, 3]], float)
    probe = VeLPIC().partial_fit(X, [1, 2, 3, 3], classes=range(4))
    assert list(probe.ranks_) == [0, 1, 0, 1]
    T = np.array([[0, 0, 0], [5, 0, 0], [-5, 0, -1], [3, 0, 1.8]], float)
    np.testing.assert_allclose(
        probe.decision_function(T),
        [[-np.inf, 0, 0, 0], [-np.inf, 3, 0, 0], [-np.inf, -3, 0, -1], [-np.inf, 1.8, 0, 1.8]],
        atol=1e-14,
    )
    np.testing.assert_array_equal(probe.predict(T), [1, 1, 2, 1])


def test_sign_of_velpic_when_the_mean_vanishes():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((50, 6)) * [9, 1, 1, 1, 1, 1] @ ortho_group.rvs(6, random_state=1)
    # Every row with its negative: the mean projection is rounding noise, whatever the order of summation.
    X, y = np.vstack([half, -half]), np.zeros(100, int)
    for order in (np.arange(100), rng.permutation(100)):
        for flip in (1, -1):
            axis = VeLPIC().fit(flip * X[order] * 1e3, y).axes_[0][:, 0]
            assert axis[np.abs(axis).argmax()] > 0
    # Coordinates that are equally large up to rounding: the first one is made positive.
    zero = torch.zeros(2, dtype=torch.float64)
    for larger in (1.0, 1 + 1e-14, 1 - 1e-14):
        assert _sign(torch.tensor([-1.0, larger], dtype=torch.float64), zero, 0.0) == -1


def test_two_classes_are_one_column():
    X = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    probe = MASC().fit(X, ["b", "a"])
    T = np.array([[2, 1, 0], [1, 2, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], float)
    np.testing.assert_allclose(probe.decision_function(T), [0.6, -0.6, 0, 0, 0])
    assert (probe.decision_function(T)[2:] == 0).all()
    assert list(probe.predict(T)) == ["b", "a", "a", "a", "a"]
    assert probe.score(T, ["b", "b", "a", "a", "a"], sample_weight=[1, 1, 0, 0, 0]) == 0.5


@pytest.mark.parametrize("estimator", [MASC(), VeLPIC()], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_torch_in_torch_out(estimator, dtype):
    X, y = clouds(2300, 30)
    X = torch.from_numpy(X * 20 + 100).to(dtype)
    plain = X.double().numpy() if dtype in (torch.float64, torch.uint8) else X.float().numpy()
    expected = estimator.fit(plain, y).decision_function(plain)
    assert all(isinstance(axes, np.ndarray) for axes in estimator.axes_)
    scores = estimator.fit(X, torch.from_numpy(y)).decision_function(X)
    assert isinstance(scores, torch.Tensor) and scores.dtype == torch.float64
    assert all(isinstance(axes, torch.Tensor) for axes in estimator.axes_)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    labels = estimator.predict(X)
    assert isinstance(labels, torch.Tensor)
    np.testing.assert_array_equal(labels, estimator.predict(plain))
    assert isinstance(estimator.decision_function(plain), np.ndarray)
    assert estimator.score(X, torch.from_numpy(y)) == np.mean(labels.numpy() == y)


@pytest.mark.parametrize("estimator", [MASC(), VeLPIC()], ids=repr)
def test_refused_tensors(estimator):
    X, y = torch.rand(10, 4), torch.arange(10) % 2
    with pytest.raises(NotFittedError):
        type(estimator)().predict(X)
    for bad, message in (
        (X[0], "Expected 2D array"),
        (X[:0], "0 sample"),
        (X[:, :0], "0 feature"),
        (torch.full_like(X, torch.nan), "NaN or infinity"),
        (X.to(torch.complex64), "Complex data"),
    ):
        with pytest.raises(ValueError, match=message):
            estimator.fit(bad, y[: len(bad)])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimator.fit(X, y[:5])
    with pytest.raises(ValueError, match="target y is None"):
        estimator.fit(X, None)
    with pytest.raises(ValueError, match="Unknown label type"):
        estimator.fit(X, torch.rand(10))
    estimator.fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but"):
        estimator.predict(X[:, :3])
    with pytest.raises(ValueError, match="NaN or infinity"):
        estimator.predict(X / 0)
    with pytest.raises(ValueError, match="no example"):
        estimator.fit_moments(ClassMoments(4, [0, 1]))
    large = torch.full((4, 3), 3e38)  # finite, though its sum is not
    assert estimator.fit(X[:, :3], y).predict(large).shape == (4,)


@pytest.mark.parametrize("estimator", [MASC(), VeLPIC()], ids=repr)
def test_fit_of_a_frame_then_of_a_tensor_forgets_the_names(estimator):
    import pandas as pd

    X, y = clouds(30, 3)
    estimator.fit(pd.DataFrame(X, columns=list("abc")), y)
    assert list(estimator.feature_names_in_) == list("abc")
    estimator.fit(torch.from_numpy(X), y)
    assert not hasattr(estimator, "feature_names_in_")


@pytest.mark.gpu
@pytest.mark.parametrize("estimator", [MASC(), VeLPIC()], ids=repr)
def test_gpu_agrees(estimator):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for shape in ((3000, 60), (300, 400)):
        X, y = clouds(*shape)
        X = torch.from_numpy(X).float()
        expected = estimator.fit(X, y).decision_function(X)
        scores = estimator.fit(X.cuda(), torch.from_numpy(y).cuda()).decision_function(X.cuda())
        assert scores.is_cuda and estimator.predict(X.cuda()).is_cuda
        torch.testing.assert_close(scores.cpu(), expected, rtol=1e-4, atol=1e-4)
        assert isinstance(estimator.predict(X.numpy()), np.ndarray)


# --- float32 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_axes", [None, 1, 3])
@pytest.mark.parametrize("n, d, n_classes", [(900, 40, 3), (400, 150, 10), (3000, 700, 4)])
def test_float32_scores_decide_as_float64_does(n, d, n_classes, n_axes):
    """Labels by chance: all subspaces are nearly alike, so that many examples are near a boundary."""
    rng = np.random.default_rng(d)
    X = np.maximum(rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / d**0.5 + 0.5, 0).astype(np.float32)
    probe = MASC(n_axes=n_axes).fit(X, np.arange(n) % n_classes)
    T = np.maximum(rng.standard_normal((2500, d)) + 0.5, 0).astype(np.float32)
    exact, found = probe.decision_function(T.astype(np.float64)), probe.decision_function(T)
    np.testing.assert_allclose(found, exact, atol=3e-6)
    np.testing.assert_array_equal(found.argmax(axis=1), exact.argmax(axis=1))


def test_float32_rows_that_tie_vanish_or_leave_the_range_are_scored_as_float64_are():
    X = np.eye(4, dtype=np.float32)
    probe = MASC(n_axes=1).fit(X[[0, 1, 0, 1]], [0, 1, 0, 1])
    probe.partial_fit(X[[2]], [1])
    T = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0.5, 0, 0]], dtype=np.float32)
    for scale in (1, 1e-30, 1e-44, 1e30):
        rows = (T * np.float32(scale)).astype(np.float32)
        found, exact = probe.decision_function(rows), probe.decision_function(rows.astype(np.float64))
        np.testing.assert_allclose(found, exact, atol=1e-7)
        np.testing.assert_array_equal(probe.predict(rows), probe.predict(rows.astype(np.float64)))


def test_a_class_never_seen_wins_in_no_precision():
    X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    probe = MASC().partial_fit(X, np.arange(40) % 2, classes=[0, 1, 2])
    for rows in (X, X.astype(np.float64)):
        assert np.isneginf(probe.decision_function(rows)[:, 2]).all()
