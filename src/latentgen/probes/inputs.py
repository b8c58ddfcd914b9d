"""Validation of what probes are given: scikit-learn's for NumPy, the same errors for torch tensors."""

import numpy as np
import torch
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from latentgen.probes.arrays import as_array, as_tensor, chunks


def check_rows(estimator, X, *, reset):
    """Validate activations and return them as a tensor that shares their memory.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets ``n_features_in_`` if ``reset``, otherwise must agree with it.
    X : array-like or torch.Tensor of shape (n, d)
        Activations.
    reset : bool
        True when fitting from scratch.

    Returns
    -------
    torch.Tensor of shape (n, d)
        On the device of ``X``. NumPy input that is neither float32 nor float64 becomes float64.

    Raises
    ------
    ValueError
        For anything but a non-empty two-dimensional real finite array with the expected number of features.
    """
    if not isinstance(X, torch.Tensor):
        return as_tensor(validate_data(estimator, X, dtype=[np.float64, np.float32], reset=reset))
    _check_tensor(X)
    name = type(estimator).__name__
    if reset:
        estimator.n_features_in_ = X.shape[1]
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {name} is expecting {estimator.n_features_in_} features as input"
        )
    return X.detach()


def check_rows_and_labels(estimator, X, y, *, reset):
    """Validate activations and their labels.

    Parameters
    ----------
    estimator, X, reset
        As in :func:`check_rows`.
    y : array-like or torch.Tensor of shape (n,)
        Class labels.

    Returns
    -------
    rows : torch.Tensor of shape (n, d)
    labels : numpy.ndarray of shape (n,)

    Raises
    ------
    ValueError
        As :func:`check_rows`, and for missing, continuous, non-finite or miscounted labels.
    """
    if isinstance(X, torch.Tensor):
        rows = check_rows(estimator, X, reset=reset)
        if y is None:
            raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
        labels = column_or_1d(as_array(y), warn=True)
        check_consistent_length(X, labels)
    else:
        y = as_array(y) if isinstance(y, torch.Tensor) else y
        rows, labels = validate_data(estimator, X, y, dtype=[np.float64, np.float32], reset=reset)
        rows = as_tensor(rows)
    check_classification_targets(labels)
    return rows, labels


def probe_dtype(rows):
    """Return the precision a probe works in: float32 for floats of up to 32 bits, else float64."""
    return torch.float32 if rows.is_floating_point() and rows.element_size() <= 4 else torch.float64


def _check_tensor(X):
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D tensor instead: reshape to (n_samples, n_features)")
    if X.is_complex():
        raise ValueError("Complex data not supported")
    if X.shape[0] == 0 or X.shape[1] == 0:
        what = "sample" if X.shape[0] == 0 else "feature"
        raise ValueError(f"Found array with 0 {what}(s) (shape={tuple(X.shape)}) while a minimum of 1 is required")
    # A finite sum proves finite entries; a sum that is not may only have overflowed.
    if not torch.isfinite(X.sum()) and not all(torch.isfinite(X[chunk]).all() for chunk in chunks(len(X))):
        raise ValueError("Input X contains NaN or infinity")
