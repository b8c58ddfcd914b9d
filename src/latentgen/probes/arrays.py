"""NumPy and torch side by side: the two kinds of arrays that probes take and return."""

import warnings

import numpy as np
import torch


def as_tensor(X):
    """Return ``X`` as a tensor without gradient, sharing memory where possible: treat it as read-only."""
    if isinstance(X, torch.Tensor):
        return X.detach()
    with warnings.catch_warnings():
        # torch warns that it cannot protect a read-only array from being written to; nothing here writes.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(np.asarray(X))


def as_array(y):
    """Return ``y`` as a NumPy array on the host."""
    return y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)


def like(values, X):
    """Return a tensor or array as the kind of ``X``: NumPy, or torch on the device of ``X``.

    Raises ``TypeError`` when ``X`` is a tensor and the values are strings or objects, which no tensor can
    hold.
    """
    if isinstance(X, torch.Tensor):
        return torch.as_tensor(values, device=X.device)
    return as_array(values)


def chunks(n_rows, size=1024):
    """Yield slices of ``size`` rows at fixed positions, so that results do not depend on memory at hand."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
