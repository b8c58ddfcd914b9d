"""Multinomial logistic regression as a probe."""

import math
import numbers
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from latentgen.probes.arrays import chunks, like
from latentgen.probes.base import Probe
from latentgen.probes.inputs import check_rows, check_rows_and_labels, probe_dtype

#: Iteration cap of the converged solver, far above what it needs; reaching it warns.
MAX_ITERATIONS = 10_000

#: Ten times as much, the first step of "adam", is still a float32.
LARGEST_RATE = 1e37


class LogisticProbe(Probe):
    """Multinomial logistic regression: one linear layer with bias, trained by cross-entropy.

    The default is the published recipe of Ketha and Ramaswamy (arXiv 2603.19865): unpenalised, from torch's
    default ``nn.Linear`` initialisation, Adam with betas (0.9, 0.999) and eps 1e-8 (Kingma and Ba, ICLR
    2015), for a fixed number of epochs, shuffled in each. It is stopped, not converged: memorised layers are
    linearly separable, and the unpenalised loss of separable data has no minimiser. ``solver="lbfgs"``
    converges instead (scikit-learn's ``LogisticRegression``) and needs a penalty and a tolerance to converge
    to:

        minimise  mean cross-entropy + l2 / 2 * |W|^2,  bias not penalised,  until max |gradient| <= tol.

    Equal input, parameters and ``random_state`` give equal bits on a CPU with the same number of threads.

    Parameters
    ----------
    solver : {"adam", "lbfgs"}, default "adam"
    l2 : float, default 0.0
        Penalty, for "lbfgs" only, where it must be positive.
    tol : float, default None
        Largest absolute entry of the gradient at the solution, for "lbfgs" only, where it must be given.
    epochs, batch_size : int, default 20 and 128
        For "adam". The last batch of an epoch may be smaller.
    learning_rate : float, default 1e-3
        For "adam".
    random_state : int, default 0
        Seeds the initialisation and the order of "adam".

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
    n_features_in_ : int
    coef_ : array or tensor, (C, d)
        Weights; of the kind that was fitted, float32 for floats of up to 32 bits and float64 otherwise.
    intercept_ : array or tensor, (C,)
        Biases.
    """

    def __init__(self, solver="adam", l2=0.0, tol=None, epochs=20, batch_size=128, learning_rate=1e-3, random_state=0):
        self.solver = solver
        self.l2 = l2
        self.tol = tol
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X, y):
        """Fit from scratch.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
            Activations, on any device. With "lbfgs" they are brought to the host.
        y : array-like or torch.Tensor of shape (n,)
            Class labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of range, an unpenalised converged fit ("lbfgs" with ``l2`` 0), a penalty or
            tolerance for "adam", arrays of wrong shape, NaN or infinity, continuous labels, one class with
            "lbfgs", or weights or squares of gradients that do not stay finite.

        Warns
        -----
        ConvergenceWarning
            If "lbfgs" ends with a gradient above ``tol``.
        """
        self._check_parameters()
        rows, labels = check_rows_and_labels(self, X, y, reset=True)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        fit = self._fit_adam if self.solver == "adam" else self._fit_lbfgs
        weight, bias = fit(rows, torch.from_numpy(targets).to(rows.device))
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise ValueError(
                f"logistic regression diverged: its weights are not finite with learning_rate={self.learning_rate!r} "
                f"and activations of up to {float(rows.abs().max()):.3g}; lower the learning rate"
            )
        self.coef_, self.intercept_ = like(weight, X), like(bias, X)
        return self

    def _check_parameters(self):
        if self.solver not in ("adam", "lbfgs"):
            raise ValueError(f"solver must be 'adam' or 'lbfgs', got {self.solver!r}")
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        if not isinstance(self.random_state, numbers.Integral):
            raise ValueError(f"random_state must be an integer, got {self.random_state!r}")
        if not 0 < self.learning_rate <= LARGEST_RATE:
            raise ValueError(f"learning_rate must be above 0, up to {LARGEST_RATE:g}, got {self.learning_rate!r}")
        if self.solver == "adam" and (self.l2 != 0 or self.tol is not None):
            raise ValueError(
                f"solver='adam' is the unpenalised recipe of a fixed number of epochs, l2={self.l2!r} and "
                f"tol={self.tol!r} have no meaning for it: leave them out or use solver='lbfgs'"
            )
        if self.solver == "lbfgs" and not 0 < self.l2 < math.inf:
            raise ValueError(
                f"solver='lbfgs' needs a finite l2 > 0, got {self.l2!r}: without a penalty separable data have no "
                "minimiser, and the result would measure the iteration cap; state a penalty or use "
                "solver='adam'"
            )
        if self.solver == "lbfgs" and (self.tol is None or not 0 < self.tol < math.inf):
            raise ValueError(f"solver='lbfgs' needs a gradient tolerance tol > 0, got {self.tol!r}")

    def _scores(self, X):
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        weight = torch.as_tensor(self.coef_, device=rows.device)
        bias = torch.as_tensor(self.intercept_, device=rows.device)
        logits = rows.new_empty((len(rows), len(bias)), dtype=bias.dtype)
        for chunk in chunks(len(rows)):
            logits[chunk] = torch.addmm(bias, rows[chunk].to(bias.dtype), weight.T)
        return logits

    def _fit_adam(self, rows, targets):
        """Adam on the softmax gradient, written out: no graph is built, and every state is updated in place.

        Weight and bias are the two parts of one vector, so that an update is six calls on contiguous memory.
        """
        n_classes, n_features = len(self.classes_), rows.shape[1]
        dtype, device = probe_dtype(rows), rows.device
        # Draws are made on the CPU, so that a GPU starts from the same weights and sees the same order.
        generator = torch.Generator().manual_seed(self.random_state)
        parameters = _initial(n_classes, n_features, generator).to(device, dtype)
        weight, bias = _split(parameters, n_classes, n_features)
        gradient = torch.empty_like(parameters)
        weight_gradient, bias_gradient = _split(gradient, n_classes, n_features)
        mean, square, root = (torch.zeros_like(parameters) for _ in range(3))
        beta1, beta2, eps = 0.9, 0.999, 1e-8
        step = 0
        for _ in range(self.epochs):
            order = torch.randperm(len(rows), generator=generator).to(device)
            for batch in torch.split(order, self.batch_size):
                x = rows.index_select(0, batch).to(dtype)
                residual = torch.softmax(torch.addmm(bias, x, weight.T), dim=1)
                residual.scatter_add_(1, targets[batch, None], residual.new_full((len(x), 1), -1.0))
                residual /= len(x)
                torch.mm(residual.T, x, out=weight_gradient)
                torch.sum(residual, 0, out=bias_gradient)
                step += 1
                mean.lerp_(gradient, 1 - beta1)
                square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                torch.sqrt(square, out=root).div_(math.sqrt(1 - beta2**step)).add_(eps)
                parameters.addcdiv_(mean, root, value=-self.learning_rate / (1 - beta1**step))
        # Such steps are of length zero, so that nothing would have been learned.
        if torch.isfinite(parameters).all() and not torch.isfinite(square).all():
            raise ValueError(
                f"logistic regression cannot be fitted by 'adam': squares of its gradients overflow {dtype} with "
                f"activations of up to {float(rows.abs().max()):.3g}; scale the activations down"
            )
        return weight.clone(), bias.clone()

    def _fit_lbfgs(self, rows, targets):
        host, labels = rows.cpu().to(probe_dtype(rows)), targets.cpu()
        # scikit-learn fits two classes by one logit z, that is by the logits -z/2 and z/2, whose squared
        # weights are half of those of z.
        strength = self.l2 / 2 if len(self.classes_) == 2 else self.l2
        model = LogisticRegression(C=1 / (strength * len(host)), tol=self.tol, max_iter=MAX_ITERATIONS)
        model.fit(host.numpy(), labels.numpy())
        weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
        if len(bias) == 1:
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        largest = _largest_gradient(host, labels, weight, bias, self.l2)
        if largest > self.tol:
            warnings.warn(
                f"lbfgs ended with a gradient of {largest:.1e}, above tol={self.tol:.1e}: use float64 "
                "activations, a larger l2 or a larger tol",
                ConvergenceWarning,
                stacklevel=3,
            )
        return weight, bias


def _split(vector, n_classes, n_features):
    """Return the weight (C, d) and bias (C,) views of a parameter vector."""
    return vector[: n_classes * n_features].view(n_classes, n_features), vector[n_classes * n_features :]


def _initial(n_classes, n_features, generator):
    """Draw the parameters of ``nn.Linear(n_features, n_classes)`` as one float32 vector."""
    bound = 1 / math.sqrt(n_features)
    parameters = torch.empty(n_classes * (n_features + 1))
    for part in _split(parameters, n_classes, n_features):
        part.uniform_(-bound, bound, generator=generator)
    return parameters


def _largest_gradient(rows, targets, weight, bias, l2):
    """Return the largest absolute entry of the gradient of the penalised mean cross-entropy, in float64."""
    weight, bias = weight.double(), bias.double()
    weight_gradient, bias_gradient = l2 * weight, torch.zeros_like(bias)
    for chunk in chunks(len(rows)):
        x = rows[chunk].double()
        residual = torch.softmax(torch.addmm(bias, x, weight.T), dim=1)
        residual[torch.arange(len(x)), targets[chunk]] -= 1
        weight_gradient += residual.T @ x / len(rows)
        bias_gradient += residual.sum(0) / len(rows)
    return float(max(weight_gradient.abs().max(), bias_gradient.abs().max()))
