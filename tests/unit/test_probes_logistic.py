"""The logistic probe against torch's own layers and optimiser, and against its objective."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from latentgen.probes import LogisticProbe


def sample(n=200, d=6, n_classes=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % n_classes
    centres = torch.randn(n_classes, d, generator=generator)
    return (centres[y] + torch.randn(n, d, generator=generator)).to(dtype), y


def by_autograd(X, y, n_classes, epochs, batch_size, learning_rate, seed):
    """The published recipe, in torch's own words."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = nn.Linear(X.shape[1], n_classes).to(X.dtype)
        optimiser = torch.optim.Adam(layer.parameters(), lr=learning_rate)
        for _ in range(epochs):
            for batch in torch.randperm(len(X)).split(batch_size):
                optimiser.zero_grad()
                nn.functional.cross_entropy(layer(X[batch]), y[batch]).backward()
                optimiser.step()
    return layer.weight.detach(), layer.bias.detach()


@pytest.mark.parametrize("estimator", [LogisticProbe(), LogisticProbe(solver="lbfgs", l2=1e-3, tol=1e-4)], ids=repr)
def test_scikit_learn_checks(estimator):
    check_estimator(estimator)


@pytest.mark.parametrize("dtype, rounding", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("n_classes, batch_size, seed", [(2, 64, 0), (10, 128, 1), (3, 1000, 2)])
def test_adam_against_autograd(dtype, rounding, n_classes, batch_size, seed):
    X, y = sample(500, 20, n_classes, dtype=dtype)  # neither 64 nor 128 divides 500: the last batch is smaller
    settings = {"epochs": 5, "batch_size": batch_size, "learning_rate": 3e-3}
    weight, bias = by_autograd(X, y, n_classes, seed=seed, **settings)
    probe = LogisticProbe(random_state=seed, **settings).fit(X, y)
    assert probe.coef_.dtype == probe.intercept_.dtype == dtype
    torch.testing.assert_close(probe.coef_, weight, rtol=0, atol=rounding)
    torch.testing.assert_close(probe.intercept_, bias, rtol=0, atol=rounding)
    logits = X @ weight.T + bias
    np.testing.assert_array_equal(probe.predict(X), logits.argmax(1))
    expected = logits[:, 1] - logits[:, 0] if n_classes == 2 else logits
    torch.testing.assert_close(probe.decision_function(X), expected, rtol=0, atol=100 * rounding)


def test_default_is_the_published_recipe():
    X, y = sample(700, 9)
    weight, _ = by_autograd(X, y, 3, epochs=20, batch_size=128, learning_rate=1e-3, seed=0)
    torch.testing.assert_close(LogisticProbe().fit(X, y).coef_, weight, rtol=0, atol=1e-5)


def test_same_seed_same_bits_and_global_random_state_untouched():
    X, y = sample()
    before = torch.get_rng_state()
    first = LogisticProbe(epochs=3).fit(X, y)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(first.coef_, LogisticProbe(epochs=3).fit(X, y).coef_)
    assert torch.equal(first.coef_, torch.from_numpy(LogisticProbe(epochs=3).fit(X.numpy(), y.numpy()).coef_))
    assert not torch.equal(first.coef_, LogisticProbe(epochs=3, random_state=1).fit(X, y).coef_)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_lbfgs_minimises_the_documented_objective(n_classes):
    X, y = sample(150, 5, n_classes, dtype=torch.float64)
    l2, tol = 0.02, 1e-7
    probe = LogisticProbe(solver="lbfgs", l2=l2, tol=tol).fit(X, y)
    rows, labels = X.numpy(), y.numpy()

    def objective(parameters):
        weight, bias = parameters[: n_classes * 5].reshape(n_classes, 5), parameters[n_classes * 5 :]
        logs = log_softmax(rows @ weight.T + bias, axis=1)
        return -logs[np.arange(len(rows)), labels].mean() + l2 / 2 * np.sum(weight**2)

    best = minimize(objective, np.zeros(n_classes * 6), options={"gtol": 1e-6})
    np.testing.assert_allclose(probe.coef_.numpy().ravel(), best.x[: n_classes * 5], atol=1e-4)
    # Biases are determined up to a common shift.
    ours, theirs = probe.intercept_.numpy(), best.x[n_classes * 5 :]
    np.testing.assert_allclose(ours - ours.mean(), theirs - theirs.mean(), atol=1e-4)
    found = np.hstack([probe.coef_.numpy().ravel(), ours])
    slopes = [(objective(found + step) - objective(found - step)) / 2e-4 for step in 1e-4 * np.eye(len(found))]
    assert np.abs(slopes).max() < tol + 1e-8  # the rounding of central differences


def test_lbfgs_says_when_the_tolerance_was_not_reached():
    X, y = sample(150, 5)
    with pytest.warns(ConvergenceWarning, match="above tol=1.0e-12"):
        LogisticProbe(solver="lbfgs", l2=1e-3, tol=1e-12).fit(X, y)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"solver": "lbfgs", "tol": 1e-4}, "separable data have no minimiser"),
        ({"solver": "lbfgs", "l2": 1e-3}, "gradient tolerance"),
        ({"solver": "lbfgs", "l2": 1e-3, "tol": 0}, "gradient tolerance"),
        ({"l2": 1e-3}, "solver='lbfgs'"),
        ({"tol": 1e-3}, "solver='lbfgs'"),
        ({"solver": "sgd"}, "solver must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"batch_size": 1.5}, "batch_size must be"),
        ({"learning_rate": 0}, "learning_rate must be"),
        ({"random_state": None}, "random_state must be"),
    ],
)
def test_refusals(parameters, message):
    with pytest.raises(ValueError, match=message):
        LogisticProbe(**parameters).fit(*sample())


def test_kinds_labels_and_score():
    X, y = sample()
    names = np.array(["x", "y", "z"])[y]
    probe = LogisticProbe(learning_rate=0.1).fit(X.numpy(), names)
    predicted = probe.predict(X.numpy())
    assert set(predicted) <= {"x", "y", "z"}
    assert probe.score(X.numpy(), names) == np.mean(predicted == names) > 0.8
    weights = np.arange(len(X))
    assert probe.score(X.numpy(), names, weights) == np.average(predicted == names, weights=weights)
    with pytest.raises(TypeError):
        probe.predict(X)
    assert isinstance(probe.decision_function(X), torch.Tensor)
    with pytest.raises(NotFittedError):
        LogisticProbe().predict(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": math.inf},
        {"learning_rate": math.nan},
        {"learning_rate": 1e300},
        {"solver": "lbfgs", "l2": math.inf, "tol": 1e-3},
        {"solver": "lbfgs", "l2": 0.1, "tol": math.nan},
    ],
    ids=str,
)
def test_parameters_are_finite(parameters):
    X, y = sample()
    with pytest.raises(ValueError, match="learning_rate must be above 0|finite l2|tol > 0"):
        LogisticProbe(**parameters).fit(X, y)


def test_a_fit_that_does_not_stay_finite_is_refused():
    X, y = sample()
    with pytest.raises(ValueError, match="diverged.*learning_rate=1e\\+37.*lower the learning rate"):
        LogisticProbe(learning_rate=1e37).fit(X, y)


@pytest.mark.gpu
def test_gpu_starts_from_the_same_weights_and_order():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    X, y = sample(dtype=torch.float64)
    host = LogisticProbe(epochs=3).fit(X, y)
    device = LogisticProbe(epochs=3).fit(X.cuda(), y.cuda())
    assert device.coef_.is_cuda and device.predict(X.cuda()).is_cuda
    torch.testing.assert_close(device.coef_.cpu(), host.coef_, rtol=0, atol=1e-10)


def test_gradients_whose_squares_overflow_are_refused():
    """Adam's steps would have no length, and the probe would stay as it was drawn."""
    X, y = sample()
    with pytest.raises(ValueError, match="squares of its gradients overflow torch.float32.*scale the activations down"):
        LogisticProbe().fit(X * 1e30, y)
    assert LogisticProbe(epochs=1).fit(X.double() * 1e30, y).coef_.isfinite().all()
