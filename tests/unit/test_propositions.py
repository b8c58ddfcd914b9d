"""What Ketha and Ramaswamy (arXiv 2603.19865) prove or imply about MASC and VeLPIC, on many kinds of random data.

Propositions 1 and 2 and the identities between the probes, against axes from NumPy's SVD of each class.
"""

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group

from latentgen.probes import MASC, VeLPIC

#: Scores this close (relative to the example) count as equal, and the first class wins.
TIE = 1e-9
FRACTIONS = [0.25, 0.5, 0.75, 0.99, 1.0]


def clouds(rng, n, d, y):
    """Rows around one direction per class, with decaying spread."""
    centres = rng.standard_normal((y.max() + 1, d))
    return centres[y] + rng.standard_normal((n, d)) * 0.8 ** np.arange(d) @ rng.standard_normal((d, d))


def sample(kind, seed):
    """Training rows (n, d), labels that cover every class, and test rows, one of them zero."""
    rng = np.random.default_rng([seed, len(kind)])
    n, d = (
        (rng.integers(18, 30), rng.integers(40, 70)) if "wide" in kind else (rng.integers(50, 90), rng.integers(4, 14))
    )
    n_classes = rng.integers(3, 6)
    y = rng.permutation(np.arange(n) % n_classes)
    rows = clouds(rng, n + 60, d, np.concatenate([y, rng.integers(0, n_classes, 60)]))
    if kind == "deficient":
        rows = rows @ rng.standard_normal((d, 3)) @ rng.standard_normal((3, d))
    if "relu" in kind:
        rows = np.maximum(rows + 0.3, 0)
        rows[:, rng.integers(0, d)] = 0  # a dead unit
    if kind == "centred":
        rows -= rows[:n].mean(axis=0)
    rows[-1] = 0
    return rows[:n], y, rows[n:]


NON_NEGATIVE = ["relu", "wide relu"]
KINDS = ["signed", "centred", "deficient", "wide", *NON_NEGATIVE]
SEEDS = range(5)
every = pytest.mark.parametrize("kind, seed", [(kind, seed) for kind in KINDS for seed in SEEDS])


def svd_axes(X, y, fraction):
    """Leading right singular vectors of each class: 1 + #{cumulative ratio <= fraction} of those above rounding."""
    axes = []
    for k in np.unique(y):
        _, values, right = np.linalg.svd(X[y == k], full_matrices=False)
        rank = (values > 1e-7 * values[0]).sum()
        ratios = np.cumsum(values**2) / np.sum(values**2)
        axes.append(right[: min(rank, 1 + (ratios <= fraction).sum())].T)
    return axes


def svd_vectors(X, y):
    """Leading right singular vector of each class (C, d), on the side of the mean, or of its largest coordinate."""
    vectors = np.stack([axes[:, 0] for axes in svd_axes(X, y, 1e-9)])
    along, rms = vectors @ X.mean(axis=0), np.sqrt(np.mean(np.sum(X**2, axis=1)))
    largest = vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)]
    return vectors * np.sign(np.where(np.abs(along) > 1e-12 * rms, along, largest))[:, None]


def clear(scores, slack):
    """Rows whose best score leads by more than ``slack``."""
    ordered = np.sort(scores, axis=1)
    return ordered[:, -1] - ordered[:, -2] > slack


def assert_same_decisions(ours, theirs, T):
    """Equal scores up to rounding, and equal winners wherever rounding cannot decide."""
    size = 1e-7 * np.maximum(1, np.linalg.norm(T, axis=1))
    np.testing.assert_array_less(np.abs(ours - theirs).max(axis=1), size)
    sure = clear(theirs, 2 * size)
    np.testing.assert_array_equal(ours[sure].argmax(axis=1), theirs[sure].argmax(axis=1))


@every
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_proposition_1_angle_rule_is_quadratic_rule(kind, seed, fraction):
    X, y, T = sample(kind, seed)
    T = T[T.any(axis=1)]  # a zero vector has no angle
    axes = svd_axes(X, y, fraction)
    lengths = np.linalg.norm(T, axis=1)
    cosines = np.stack([np.linalg.norm(T @ P @ P.T, axis=1) for P in axes], axis=1) / lengths[:, None]
    angles = np.arccos(np.minimum(cosines, 1))
    quadratic = np.stack([np.einsum("ni,ij,nj->n", T, P @ P.T, T) for P in axes], axis=1)
    probe = MASC(variance=fraction).fit(X, y)
    np.testing.assert_array_equal(probe.ranks_, [P.shape[1] for P in axes])
    predicted = probe.predict(T)
    sure = clear(quadratic, TIE * lengths**2)
    np.testing.assert_array_equal(angles[sure].argmin(axis=1), quadratic[sure].argmax(axis=1))
    np.testing.assert_array_equal(predicted[sure], angles[sure].argmin(axis=1))
    tied = quadratic >= quadratic.max(axis=1, keepdims=True) - TIE * lengths[:, None] ** 2
    np.testing.assert_array_equal(predicted, tied.argmax(axis=1))
    # Only a class whose axes span all that the data span makes ties the rule rather than the exception.
    spanning = max(P.shape[1] for P in axes) == np.linalg.matrix_rank(X)
    assert spanning or sure.mean() > 0.95


@every
def test_proposition_2_velpic_is_linear_without_bias(kind, seed):
    X, y, T = sample(kind, seed)
    vectors = svd_vectors(X, y)
    probe = VeLPIC().fit(X, y)
    scores = T @ vectors.T
    assert_same_decisions(probe.decision_function(T), scores, T)
    sure = clear(scores, 2 * TIE * np.linalg.norm(T, axis=1))
    assert sure[T.any(axis=1)].mean() > 0.95
    np.testing.assert_array_equal(probe.predict(T)[sure], scores[sure].argmax(axis=1))
    # Known only by its answers, it is the matrix of what it says about unit vectors; nothing is added at the origin.
    matrix = probe.decision_function(np.eye(X.shape[1]))
    np.testing.assert_allclose(probe.decision_function(T), T @ matrix, atol=1e-7 * np.linalg.norm(T, axis=1).max())
    np.testing.assert_array_equal(probe.decision_function(np.zeros_like(T[:1])), np.zeros((1, len(vectors))))


@every
def test_projectors(kind, seed):
    X, y, T = sample(kind, seed)
    probe = MASC(variance=0.9).fit(X, y)
    for rank, axes, theirs in zip(probe.ranks_, probe.axes_, svd_axes(X, y, 0.9), strict=True):
        projector = axes @ axes.T
        np.testing.assert_allclose(projector, projector.T, atol=1e-14)
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-12)
        assert np.trace(projector) == pytest.approx(rank, abs=1e-12)
        np.testing.assert_allclose(projector, theirs @ theirs.T, atol=1e-7)


@every
@pytest.mark.parametrize("fraction", [0.8, 1.0])
def test_masc_ignores_the_size_and_sign_of_features(kind, seed, fraction):
    X, y, T = sample(kind, seed)
    expected = MASC(variance=fraction).fit(X, y)
    for scale in (1e4, 0.03, -1.0, -250.0):
        scaled = MASC(variance=fraction).fit(scale * X, y)
        np.testing.assert_array_equal(scaled.ranks_, expected.ranks_)
        for predicted in (scaled.predict(T), expected.predict(scale * T), scaled.predict(scale * T)):
            np.testing.assert_array_equal(predicted, expected.predict(T))


@every
def test_velpic_ignores_the_size_of_features(kind, seed):
    X, y, T = sample(kind, seed)
    expected = VeLPIC().fit(X, y)
    for scale in (1e4, 0.03):
        scaled = VeLPIC().fit(scale * X, y)
        for predicted in (scaled.predict(T), expected.predict(scale * T), scaled.predict(scale * T)):
            np.testing.assert_array_equal(predicted, expected.predict(T))


@every
def test_velpic_under_a_change_of_sign(kind, seed):
    """Negated test data get the class with the smallest score. Negated training data turn the axes round with their
    mean, which is the same thing, and both together change nothing. Without a mean the axes stay."""
    X, y, T = sample(kind, seed)
    probe, negated = VeLPIC().fit(X, y), VeLPIC().fit(-250 * X, y)
    scores = probe.decision_function(T)
    assert_same_decisions(probe.decision_function(-T), -scores, T)
    turned = 1 if kind == "centred" else -1
    assert_same_decisions(negated.decision_function(T), turned * scores, T)
    assert_same_decisions(negated.decision_function(-T), -turned * scores, T)


@every
def test_rotation_of_the_features_changes_nothing(kind, seed):
    X, y, T = sample(kind, seed)
    rotation = ortho_group.rvs(X.shape[1], random_state=seed)
    for estimator in (MASC(variance=0.8), VeLPIC()):
        expected = estimator.fit(X, y).decision_function(T)
        ranks = estimator.ranks_
        rotated = estimator.fit(X @ rotation, y).decision_function(T @ rotation)
        np.testing.assert_array_equal(estimator.ranks_, ranks)
        if kind == "centred" and isinstance(estimator, VeLPIC):
            # Without a mean the sign of an axis is that of its largest coordinate, which is another one now.
            expected, rotated = np.abs(expected), np.abs(rotated)
        assert_same_decisions(rotated, expected, T)


@every
def test_order_and_duplication_of_the_training_set_change_nothing(kind, seed):
    X, y, T = sample(kind, seed)
    order = np.random.default_rng(seed).permutation(len(X))
    for estimator in (MASC(variance=0.8), MASC(variance=1.0), VeLPIC()):
        expected = estimator.fit(X, y).decision_function(T)
        ranks = estimator.ranks_
        for again in (order, np.tile(np.arange(len(X)), 2), np.repeat(order, 3)):
            scores = estimator.fit(X[again], y[again]).decision_function(T)
            np.testing.assert_array_equal(estimator.ranks_, ranks)
            assert_same_decisions(scores, expected, T)


@pytest.mark.parametrize("kind", NON_NEGATIVE)
@pytest.mark.parametrize("seed", range(20))
def test_velpic_is_one_axis_masc_on_non_negative_features(kind, seed):
    X, y, T = sample(kind, seed)
    velpic, masc = VeLPIC().fit(X, y), MASC(n_axes=1).fit(X, y)
    np.testing.assert_array_equal(velpic.predict(T), masc.predict(T))
    assert all((axis >= -1e-12).all() for axis in velpic.axes_)
    squares = np.sum(T**2, axis=1, keepdims=True)
    np.testing.assert_allclose(velpic.decision_function(T) ** 2, masc.decision_function(T) * squares, atol=1e-6)


def test_velpic_differs_from_one_axis_masc_on_signed_features():
    differs = []
    for seed in SEEDS:
        X, y, T = sample("signed", seed)
        differs.append((VeLPIC().fit(X, y).predict(T) != MASC(n_axes=1).fit(X, y).predict(T)).mean())
    assert min(differs) > 0


@every
def test_rank_grows_with_the_fraction_up_to_the_numerical_rank(kind, seed):
    X, y, _ = sample(kind, seed)
    ranks = [MASC(variance=v).fit(X, y).ranks_ for v in (0.05, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)]
    assert (np.diff(ranks, axis=0) >= 0).all()
    np.testing.assert_array_equal(ranks[-1], [np.linalg.matrix_rank(X[y == k], rtol=1e-7) for k in np.unique(y)])


@every
def test_transferred_readout_without_bias_is_velpic(kind, seed):
    """A float32 linear layer whose rows are the axes predicts as the probe on what feeds it."""
    X, y, T = (torch.from_numpy(part) for part in sample(kind, seed))
    X, T = X.float(), T.float()
    probe = VeLPIC().fit(X, y)
    readout = torch.nn.Linear(X.shape[1], len(probe.classes_))
    with torch.no_grad():
        readout.weight.copy_(torch.cat(probe.axes_, dim=1).T)
        readout.bias.zero_()
        logits = readout(T)
    weight = readout.weight.detach().double()
    # A product of d rounded numbers is off by at most (d + 2) u |w| . |x|, u = 2^-24; two of them are compared.
    rounding = (X.shape[1] + 2) * 2.0**-24 * (T.double().abs() @ weight.abs().T).amax(dim=1)
    scores = probe.decision_function(T).numpy()
    sure = clear(scores, 2 * rounding.numpy())
    assert sure[T.numpy().any(axis=1)].mean() > 0.95
    np.testing.assert_array_equal(logits.argmax(dim=1).numpy()[sure], probe.predict(T).numpy()[sure])
