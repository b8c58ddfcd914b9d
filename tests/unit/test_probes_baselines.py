"""Nearest mean, LDA, QDA and nearest neighbours against scikit-learn, SciPy and plain NumPy."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import check_estimator

from latentgen import models
from latentgen.activations.sources import Stream
from latentgen.probes import KNN, LDA, MASC, QDA, ClassMoments, NearestMean, VeLPIC, kinds, neighbours

pytestmark = pytest.mark.slow

FROM_MOMENTS = [NearestMean(), LDA(), QDA()]
ALL = [*FROM_MOMENTS, KNN()]
KINDS = {"nearest_mean": NearestMean, "lda": LDA, "qda": QDA, "knn": KNN}


def sample(kind, n_classes=3, n_test=200):
    """Training rows, unequally many of each class, their labels, and test rows."""
    rng = np.random.default_rng([len(kind), n_classes])
    n, d = {"tall": (400, 12), "relu": (500, 30), "deficient": (300, 20), "wide": (60, 150)}[kind]
    y = np.minimum(rng.integers(0, n_classes + 1, n + n_test), n_classes - 1)
    y[:n_classes] = range(n_classes)
    X = rng.standard_normal((n_classes, d))[y] + rng.standard_normal((n + n_test, d)) @ rng.standard_normal((d, d)) / 2
    if kind == "relu":
        X = np.maximum(30 * X, 0)
        X[:, :4] = 0
    if kind == "deficient":
        X = X @ rng.standard_normal((d, 6)) @ rng.standard_normal((6, d)) + 5
    return X[:n], y[:n], X[n:]


def log_posteriors(probe, T):
    """Normalised over classes, from what the decision function says up to a constant for each example."""
    scores = probe.decision_function(T)
    return log_softmax(np.stack([np.zeros(len(T)), scores], axis=1) if scores.ndim == 1 else scores, axis=1)


def variance_within(X, y):
    return np.mean([np.mean((X[y == k] - X[y == k].mean(0)) ** 2) for k in y])


@pytest.mark.parametrize("estimator", [*ALL, LDA(shrinkage=0.5), QDA(shrinkage=1), KNN(n_neighbors=1)], ids=repr)
def test_scikit_learn_checks(estimator):
    check_estimator(estimator)


@pytest.mark.parametrize("kind", ["tall", "relu", "deficient", "wide"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_nearest_mean_against_cosines(kind, n_classes):
    X, y, T = sample(kind, n_classes)
    means = np.stack([X[y == k].mean(axis=0) for k in range(n_classes)])
    cosines = cosine_similarity(T, means)
    probe = NearestMean().fit(X, y)
    np.testing.assert_allclose(probe.means_, means, atol=1e-12 * np.abs(means).max())
    expected = cosines[:, 1] - cosines[:, 0] if n_classes == 2 else cosines
    np.testing.assert_allclose(probe.decision_function(T), expected, atol=1e-12)
    np.testing.assert_array_equal(probe.predict(T), cosines.argmax(axis=1))


def test_edge_cases_of_nearest_mean():
    # Class 0 is missing, 1 has a mean, 2 only zero vectors, 3 a mean that is zero up to rounding, 4 as 1 but for 1e-11.
    X = np.array([[3, 4], [0, 0], [0, 0], [0.1, 0.7], [0.2, 0.1], [-0.3, -0.8], [6, 8 + 1e-10]], float)
    probe = NearestMean().partial_fit(X, [1, 2, 2, 3, 3, 3, 4], classes=range(5))
    assert (np.abs(probe.means_[3]) > 0).any()
    T = np.array([[0, 0], [5, 0], [-1, 0], [0, 1], [3, 4]], float)
    expected = np.array([[0, 0, 0, 0], [0.6, 0, 0, 0.6], [-0.6, 0, 0, -0.6], [0.8, 0, 0, 0.8], [1, 0, 0, 1]])
    np.testing.assert_array_equal(probe.decision_function(T)[:, 0], -np.inf)
    np.testing.assert_allclose(probe.decision_function(T)[:, 1:], expected, atol=1e-9)
    np.testing.assert_array_equal(probe.predict(T), [1, 1, 2, 1, 1])
    assert (probe.decision_function(T)[:, 1] == probe.decision_function(T)[:, 4])[[1, 3, 4]].all()


@pytest.mark.parametrize("kind", ["tall", "relu", "deficient", "wide"])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("shrinkage", [1e-4, 0.1, 1.0])
def test_lda_against_scikit_learn(kind, n_classes, shrinkage):
    X, y, T = sample(kind, n_classes)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(X, y)
    probe = LDA(shrinkage=shrinkage).fit(X, y)
    expected = log_posteriors(theirs, T)
    np.testing.assert_allclose(log_posteriors(probe, T), expected, rtol=0, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(np.exp(log_posteriors(probe, T)), theirs.predict_proba(T), atol=1e-6)
    np.testing.assert_array_equal(probe.predict(T), theirs.predict(T))
    scores = T @ probe.coef_.T + probe.intercept_
    np.testing.assert_array_equal(scores.argmax(axis=1), probe.predict(T))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_lda_tends_to_plain_lda_where_that_is_defined(n_classes):
    X, y, T = sample("tall", n_classes)
    plain = LinearDiscriminantAnalysis().fit(X, y)  # its pooled covariance is divided by n - C
    probe = LDA(shrinkage=1e-9).fit(X, y)
    assert (probe.predict(T) == plain.predict(T)).mean() > 0.99
    np.testing.assert_allclose(np.exp(log_posteriors(probe, T)), plain.predict_proba(T), atol=0.02)
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y)  # by n, as ours
    np.testing.assert_allclose(np.exp(log_posteriors(probe, T)), theirs.predict_proba(T), atol=1e-6)


@pytest.mark.parametrize("kind", ["tall", "relu", "deficient"])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("shrinkage", [1e-3, 0.1, 1.0])
def test_qda_against_scikit_learn(kind, n_classes, shrinkage):
    X, y, T = sample(kind, n_classes)
    scale = variance_within(X, y) ** -0.5
    theirs = QuadraticDiscriminantAnalysis(reg_param=shrinkage).fit(X * scale, y)
    probe = QDA(shrinkage=shrinkage).fit(X, y)
    expected = log_posteriors(theirs, T * scale)
    np.testing.assert_allclose(log_posteriors(probe, T), expected, rtol=0, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(np.exp(log_posteriors(probe, T)), theirs.predict_proba(T * scale), atol=1e-6)
    np.testing.assert_array_equal(probe.predict(T), theirs.predict(T * scale))


@pytest.mark.parametrize("kind", ["tall", "relu", "wide"])
@pytest.mark.parametrize("shrinkage", [0.01, 0.5])
def test_qda_against_gaussian_densities(kind, shrinkage):
    X, y, T = sample(kind, 4)
    variance = variance_within(X, y)
    expected = np.empty((len(T), 4))
    for k in range(4):
        part = X[y == k]
        covariance = (1 - shrinkage) * np.cov(part.T, bias=True) + shrinkage * variance * np.eye(X.shape[1])
        expected[:, k] = np.log(len(part) / len(X)) + multivariate_normal(part.mean(axis=0), covariance).logpdf(T)
    np.testing.assert_allclose(
        log_posteriors(QDA(shrinkage=shrinkage).fit(X, y), T), log_softmax(expected, axis=1), atol=1e-6
    )


@pytest.mark.parametrize("estimator", [LDA(), QDA()], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_discriminants_ignore_units_and_origin_of_features(estimator, dtype):
    """Also in float32, where products of rows that are not centred would leave nothing of the spread."""
    X, y, T = sample("tall", 4)
    expected = log_posteriors(estimator.fit(X, y), T)
    for scale, shift in ((1e-3, 0), (1e4, 0), (1, 500)):
        moved = [(scale * part + shift).astype(dtype) for part in (X, T)]
        found = log_posteriors(estimator.fit(moved[0], y), moved[1])
        rounding = 1e-7 if dtype == np.float64 else 1e-2 if shift else 1e-3
        np.testing.assert_allclose(found, expected, atol=rounding * np.abs(expected).max())


@pytest.mark.parametrize("estimator", [LDA(), QDA()], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_that_do_not_vary_within_classes(estimator, dtype):
    """Collapsed classes: the nearest mean wins, though one class has three quarters of the examples."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((3, 7)).astype(dtype)
    y = np.array([0, 2, 1, 1, 1, 1, 1, 1] * 400)
    T = rng.standard_normal((300, 7)).astype(dtype)
    nearest = np.square(T[:, None] - means).sum(axis=2).argmin(axis=1)
    for scale in np.array([1, 0.1], dtype):
        np.testing.assert_array_equal(estimator.fit(scale * means[y], y).predict(scale * T), nearest)
    # A dead layer says nothing, and the prior decides.
    assert (estimator.fit(0 * means[y], y).predict(T) == 1).all()


def test_classes_with_one_example_or_none():
    X, y, T = sample("tall", 4)
    X, y = X[(y != 2) & (y != 3)], y[(y != 2) & (y != 3)]
    X, y = np.vstack([X, 3 * np.ones((1, 12))]), np.hstack([y, 3])
    for estimator in FROM_MOMENTS:
        probe = type(estimator)().partial_fit(X, y, classes=range(4))
        scores = probe.decision_function(T)
        np.testing.assert_array_equal(scores[:, 2], -np.inf)
        assert np.isfinite(scores[:, [0, 1, 3]]).all()
        np.testing.assert_array_equal(probe.predict(3 * np.ones((1, 12))), [3])
        np.testing.assert_allclose(np.delete(scores, 2, axis=1), type(estimator)().fit(X, y).decision_function(T))


def test_shrinkage_below_rounding_is_refused():
    X, y, _ = sample("deficient")
    with pytest.raises(ValueError, match="raise shrinkage, or give float64"):
        LDA(shrinkage=1e-14).fit(X.astype(np.float32), y)
    with pytest.raises(ValueError, match="raise shrinkage, or give float64"):
        QDA(shrinkage=1e-14).fit(X.astype(np.float32), y)


MEMORY = """
import resource, sys
import torch
from latentgen.probes import LDA

def peak():
    # Linux lets a child's ru_maxrss begin at what its parent had; the high-water mark of its own memory begins anew.
    if sys.platform == "linux":
        return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

rows, labels = torch.rand(60, 3000, dtype=torch.float64), torch.arange(60) % 3
LDA().fit(rows[:, :100], labels)
before = peak()
LDA().fit(rows, labels)
print(peak() - before)
"""


def test_lda_with_more_features_than_examples_forms_two_matrices():
    found = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    matrix = 3000 * 3000 * 8
    # The covariance and its factor, and less than a third one for everything else.
    assert 2 * matrix < int(found.stdout) < 3 * matrix


@pytest.mark.parametrize("kind", ["tall", "relu", "deficient", "wide"])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("n_neighbors", [1, 4, 5])
def test_knn_against_scikit_learn(kind, n_classes, n_neighbors):
    X, y, T = sample(kind, n_classes)
    theirs = KNeighborsClassifier(n_neighbors, metric="cosine", algorithm="brute").fit(X, y)
    probe = KNN(n_neighbors).fit(X, y)
    fractions = theirs.predict_proba(T)
    expected = fractions[:, 1] - fractions[:, 0] if n_classes == 2 else fractions
    np.testing.assert_allclose(probe.decision_function(T), expected, atol=1e-15)
    np.testing.assert_array_equal(probe.predict(T), theirs.predict(T))


@pytest.mark.parametrize("block", [3, 7, 1000])
def test_knn_counts_the_earlier_of_equally_near_examples(monkeypatch, block):
    """Few directions in four dimensions: many exact ties, and cosines that are computed without rounding."""
    monkeypatch.setattr(neighbours, "BLOCK", block)
    rng = np.random.default_rng(0)
    corners = np.array([[1, 1, 1, 1], [1, 1, -1, 1], [2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 0], [-1, 1, 1, 1]], float)
    X, y, T = corners[rng.integers(0, 6, 90)], rng.integers(0, 4, 90), corners[rng.integers(0, 6, 40)]
    cosines = X @ T.T / 4  # all lengths are 2, or 0
    for n_neighbors in (1, 2, 5, 30, 90, 200):
        nearest = np.argsort(-cosines, axis=0, kind="stable")[:n_neighbors]
        votes = np.stack([(y[nearest] == k).mean(axis=0) for k in range(4)], axis=1)
        probe = KNN(n_neighbors).fit(X, y)
        np.testing.assert_allclose(probe.decision_function(T), votes, atol=1e-15)
        np.testing.assert_array_equal(probe.predict(T), votes.argmax(axis=1))


def test_knn_in_blocks_and_in_float32(monkeypatch):
    X, y, T = sample("tall", 4, n_test=2500)
    whole = KNN().fit(X, y).decision_function(T)
    single = KNN().fit(X.astype(np.float32), y).decision_function(T.astype(np.float32))
    assert (single == whole).all(axis=1).mean() > 0.999
    monkeypatch.setattr(neighbours, "BLOCK", 17)
    np.testing.assert_array_equal(KNN().fit(X, y).decision_function(T), whole)
    # Rows whose squares leave the range of float32 still have a direction.
    tiny = KNN().fit((1e-30 * X).astype(np.float32), y).decision_function((1e30 * T).astype(np.float32))
    assert (tiny == whole).all(axis=1).mean() > 0.999


@pytest.mark.parametrize("estimator", FROM_MOMENTS, ids=repr)
@pytest.mark.parametrize("shape", [(3000, 12), (200, 90)])
def test_partial_fit_and_shared_moments_equal_fit(estimator, shape):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal(shape) + 1, rng.integers(0, 3, shape[0])
    T = rng.standard_normal((50, shape[1]))
    expected = estimator.fit(X, y).decision_function(T)
    batched = type(estimator)()
    for start in range(0, len(X), 170):
        batched.partial_fit(X[start : start + 170], y[start : start + 170], classes=[0, 1, 2])
    np.testing.assert_array_equal(batched.decision_function(T), expected)
    moments = ClassMoments(shape[1], [0, 1, 2], dtype=torch.float64, second=["gram", "scatter"]).update(X, y)
    for other in FROM_MOMENTS:
        type(other)().fit_moments(moments)
    np.testing.assert_array_equal(type(estimator)().fit_moments(moments).decision_function(T), expected)
    goes_on = type(estimator)().fit(X[:100], y[:100])
    goes_on.predict(T)
    np.testing.assert_array_equal(goes_on.partial_fit(X[100:], y[100:]).decision_function(T), expected)


@pytest.mark.parametrize("estimator", [LDA(), QDA()], ids=repr)
def test_moments_without_scatter_are_refused(estimator):
    X, y, _ = sample("tall")
    with pytest.raises(ValueError, match="collected without scatter: give ClassMoments"):
        estimator.fit_moments(ClassMoments(12, [0, 1, 2]).update(X, y))
    with pytest.raises(ValueError, match="no example"):
        estimator.fit_moments(ClassMoments(12, [0, 1, 2]))


@pytest.mark.parametrize(
    "estimator",
    [*(kind(shrinkage=value) for kind in (LDA, QDA) for value in (0, 1.1, -0.1, np.nan, "a", None))],
    ids=repr,
)
def test_shrinkage_out_of_range(estimator):
    X, y, _ = sample("tall")
    for call in (estimator.fit, lambda X, y: estimator.partial_fit(X, y, [0, 1, 2])):
        with pytest.raises(ValueError, match=r"shrinkage must lie in \(0, 1\]"):
            call(X, y)


@pytest.mark.parametrize("value", [0, 1.5, "a", None])
def test_number_of_neighbours_out_of_range(value):
    X, y, _ = sample("tall")
    with pytest.raises(ValueError, match="n_neighbors must be an integer of at least 1"):
        KNN(value).fit(X, y)


@pytest.mark.parametrize("estimator", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_torch_in_torch_out(estimator, dtype):
    rng = np.random.default_rng(0)
    y = np.arange(2300) % 3
    X = torch.from_numpy(rng.standard_normal((3, 30))[y] * 10 + rng.standard_normal((2300, 30)) * 20 + 100).to(dtype)
    plain = X.double().numpy() if dtype in (torch.float64, torch.uint8) else X.float().numpy()
    expected = estimator.fit(plain, y).decision_function(plain)
    scores = estimator.fit(X, torch.from_numpy(y)).decision_function(X)
    assert isinstance(scores, torch.Tensor) and scores.dtype == torch.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-12)
    labels = estimator.predict(X)
    assert isinstance(labels, torch.Tensor)
    np.testing.assert_array_equal(labels, estimator.predict(plain))
    assert isinstance(estimator.decision_function(plain), np.ndarray)
    assert estimator.score(X, torch.from_numpy(y)) == np.mean(labels.numpy() == y)


@pytest.mark.parametrize("attribute", ["means_", "coef_", "intercept_"])
def test_attributes_are_of_the_kind_that_was_fitted(attribute):
    X, y, _ = sample("tall")
    for estimator in (probe for probe in FROM_MOMENTS if attribute in dir(type(probe))):
        with pytest.raises(NotFittedError):
            getattr(type(estimator)(), attribute)
        assert isinstance(getattr(estimator.fit(X, y), attribute), np.ndarray)
        estimator.fit(torch.from_numpy(X), y)
        assert getattr(estimator, attribute).shape == ((3,) if attribute == "intercept_" else (3, 12))
        assert isinstance(getattr(estimator, attribute), torch.Tensor)


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_refused_tensors(estimator):
    X, y = torch.rand(10, 4), torch.arange(10) % 2
    with pytest.raises(NotFittedError):
        type(estimator)().predict(X)
    with pytest.raises(ValueError, match="NaN or infinity"):
        estimator.fit(torch.full_like(X, torch.nan), y)
    with pytest.raises(ValueError, match="Unknown label type"):
        estimator.fit(X, torch.rand(10))
    estimator.fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but"):
        estimator.predict(X[:, :3])
    assert list(estimator.fit(X.numpy(), np.array(["b", "a"])[y]).classes_) == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_have_the_defaults_of_their_estimators(kind):
    _, settings = kinds.KINDS[kind]
    parameters = inspect.signature(KINDS[kind]).parameters.values()
    assert {key: value for key, value in settings.items() if key != "max_features"} == {
        parameter.name: parameter.default for parameter in parameters
    }
    assert list(kinds.errors({"kind": kind})) == []
    assert kinds.complete({"kind": kind})["family"] == ("neighbours" if kind == "knn" else "moments")


@pytest.mark.parametrize("kind", ["masc", "velpic"])
def test_subspace_probes_are_meant_for_every_width_unless_settings_say_otherwise(kind):
    assert kinds.complete({"kind": kind})["max_features"] is None
    for widest in (None, 1, 8192):
        probe = {"kind": kind, "max_features": widest}
        assert list(kinds.errors(probe)) == [] and kinds.complete(probe)["max_features"] == widest


def test_widths_that_the_discriminants_are_meant_for():
    assert kinds.complete({"kind": "lda"})["max_features"] == 4096
    assert kinds.complete({"kind": "qda"})["max_features"] == 512
    assert kinds.complete({"kind": "qda", "max_features": 64})["max_features"] == 64


@pytest.mark.parametrize(
    "probe, words",
    [
        ({"kind": "lda", "shrinkage": 0}, [".shrinkage", "0", "above 0, up to 1"]),
        ({"kind": "qda", "shrinkage": 1.5}, [".shrinkage", "1.5", "above 0, up to 1"]),
        ({"kind": "qda", "shrinkage": True}, [".shrinkage", "True"]),
        ({"kind": "lda", "max_features": 0}, [".max_features", "0", "from 1"]),
        ({"kind": "qda", "max_features": None}, [".max_features", "None", "from 1"]),
        ({"kind": "masc", "max_features": 0}, [".max_features: 0 is no width of a layer", "from 1, or null"]),
        ({"kind": "velpic", "max_features": 0.5}, [".max_features: 0.5 is no width of a layer", "from 1, or null"]),
        ({"kind": "velpic", "max_features": True}, [".max_features: True is no width of a layer"]),
        ({"kind": "nearest_mean", "max_features": 512}, [".max_features: unknown key", "nearest_mean"]),
        ({"kind": "knn", "n_neighbors": 0}, [".n_neighbors", "0", "from 1"]),
        ({"kind": "knn", "n_neighbors": True}, [".n_neighbors", "True", "from 1"]),
        ({"kind": "nearest_mean", "variance": 0.9}, [".variance", "nearest_mean"]),
    ],
)
def test_settings_that_are_refused(probe, words):
    (error,) = kinds.errors(probe)
    assert all(word in error for word in words)


def nearest_by_differences(X, y, T, n_neighbors, n_classes):
    """Shares of votes of the nearest by the angle, from float64 differences of directions alone: slow and exact."""
    X, T = (np.asarray(part, np.float64) for part in (X, T))
    X, T = (part / np.abs(part).max(axis=1, keepdims=True) for part in (X, T))
    X, T = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (X, T))
    votes = []
    for query in T:
        nearest = np.argsort(np.linalg.norm(X - query, axis=1), kind="stable")[:n_neighbors]
        votes.append(np.bincount(y[nearest], minlength=n_classes) / len(nearest))
    return np.array(votes)


def barely_different(kind, n, d, dtype):
    """Rows about a common offset, or about one for each of three classes, that float32 products cannot tell apart."""
    rng = np.random.default_rng([n, d])
    offsets = rng.standard_normal((3, d)) if kind == "clusters" else np.tile(rng.random(d) + 1, (3, 1))
    spread = {"offset": 1e-4, "clusters": 1e-5, "ulps": 3e-7, "ruled": 0.0}[kind]
    of = rng.integers(0, 3, n)
    X = offsets[of] + spread * (rng.standard_normal((n, d)) + rng.standard_normal((3, d))[of])
    if kind == "ruled":  # differ by one entry that is tiny beside the others
        X[:, -1] = 1e-7 * rng.standard_normal(n)
    return X.astype(dtype), of


@pytest.mark.parametrize("kind", ["offset", "clusters", "ulps", "ruled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 2.0**-66, 2.0**66], ids=["1", "small", "large"])
def test_knn_tells_apart_what_barely_differs(kind, dtype, scale):
    X, y = barely_different(kind, 500, 40, dtype)
    expected = nearest_by_differences(X[:400], y[:400], X[400:], 5, 3)
    X = (X * np.float64(scale)).astype(dtype)
    found = KNN().fit(X[:400], y[:400]).decision_function(X[400:])
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize("single", [True, False], ids=["one unit alive", "all units dead"])
def test_knn_of_layers_with_few_directions(single):
    """Equally near examples vote in their order, however many there are."""
    X, y = np.full((3000, 7), 0.3, np.float32), np.random.default_rng(0).integers(0, 4, 3000)
    if single:
        X = np.zeros((3000, 7), np.float32)
        X[:, 2] = np.random.default_rng(1).random(3000) + 0.1
    for n_neighbors in (1, 5, 100):
        votes = np.bincount(y[:n_neighbors], minlength=4) / n_neighbors
        found = KNN(n_neighbors).fit(X, y).decision_function(X[:50] * 3)
        np.testing.assert_allclose(found, np.tile(votes, (50, 1)), atol=1e-15)


def test_knn_of_more_equally_near_directions_than_candidates():
    """All axes are equally far from the diagonal, which products with rounding do not say."""
    n, y = 300, np.random.default_rng(0).integers(0, 4, 300)
    found = KNN(3).fit(np.eye(n), y).decision_function(np.full((1, n), 0.7))
    np.testing.assert_allclose(found[0], np.bincount(y[:3], minlength=4) / 3, atol=1e-15)


def test_knn_of_zero_vectors_beside_many_directions():
    """A zero vector is equally far from all examples, any other as far from zero vectors as from orthogonal ones."""
    X, y = np.random.default_rng(0).standard_normal((400, 3)), np.random.default_rng(1).integers(0, 4, 400)
    X[:, 2] = 0
    X[:2] = 0
    found = KNN(5).fit(X, y).decision_function(np.array([[0.0, 0, 0], [0, 0, 1]]))
    np.testing.assert_allclose(found, np.tile(np.bincount(y[:5], minlength=4) / 5, (2, 1)), atol=1e-15)


def test_knn_of_tiny_float64_entries_and_of_half_precision():
    X, y = barely_different("offset", 300, 20, np.float64)
    expected = KNN().fit(X[:200], y[:200]).decision_function(X[200:])
    for scale in (2.0**-1000, 2.0**1000):
        np.testing.assert_array_equal(KNN().fit(X[:200] * scale, y[:200]).decision_function(X[200:] / scale), expected)
    half = torch.from_numpy(X).to(torch.bfloat16)
    found = KNN().fit(half[:200], y[:200]).decision_function(half[200:]).numpy()
    np.testing.assert_allclose(
        found, nearest_by_differences(half[:200].double(), y[:200], half[200:].double(), 5, 3), atol=1e-15
    )


def test_knn_of_a_deep_untrained_network(digits_folder, digits):
    """Layers of equal width bring all images ever nearer to one direction."""
    model = models.build("mlp", digits.in_shape, digits.n_classes, 0, {"widths": [128] * 12})
    source = Stream(model, digits, torch.device("cpu"))
    x, x_test = (torch.cat([part["fc12"] for _, part in source.chunks(s, ["fc12"])]) for s in ("train", "test"))
    directions = torch.nn.functional.normalize(x.double(), dim=1)
    assert (directions @ directions.mean(0)).min() > 1 - 1e-6
    found = KNN().fit(x, digits.y_train).decision_function(x_test).numpy()
    expected = nearest_by_differences(x, digits.y_train, x_test, 5, 10)
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert (found.argmax(axis=1) == digits.y_test).mean() == pytest.approx(0.798, abs=0.03)


@pytest.mark.parametrize("estimator", [MASC(0.9), VeLPIC(), *ALL], ids=repr)
@pytest.mark.parametrize("offset", [0, 1e2, 1e4])
@pytest.mark.parametrize("power", [0, -120, -66, 66, 100])
def test_float32_predicts_what_float64_does(estimator, offset, power):
    """Features with a large offset in common, and in any unit: the same numbers in either precision."""
    X, y, T = (part.copy() for part in sample("tall", 4))
    small = [np.ldexp((part + offset).astype(np.float32), power) for part in (X, T)]
    single = estimator.fit(small[0], y).predict(small[1])
    plain = [np.ldexp(part.astype(np.float64), -power) for part in small]
    double = estimator.fit(plain[0], y).predict(plain[1])
    assert (single == double).mean() >= 0.99
    assert (single == np.bincount(y).argmax()).mean() < 0.9  # not one class for all


@pytest.mark.parametrize("estimator", [MASC(0.9), VeLPIC(), NearestMean()], ids=repr)
def test_scores_that_tie_within_their_tolerance_choose_the_first_class(estimator):
    """The stated limit: class axes and means that differ by less than 1e-9 in their scores, in either precision."""
    X, y, T = sample("tall", 4)
    for dtype in (np.float32, np.float64):
        found = estimator.fit((X + 1e7).astype(dtype), y).predict((T + 1e7).astype(dtype))
        assert (found == 0).all()
