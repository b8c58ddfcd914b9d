"""What probes share that need no more than the moments of each class: one pass over the data serves them all."""

from abc import abstractmethod

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from latentgen.probes.arrays import as_array, chunks
from latentgen.probes.base import Probe
from latentgen.probes.inputs import check_rows, check_rows_and_labels, probe_dtype
from latentgen.probes.moments import ClassMoments

#: Scores this close (relative to the size of the example) to the best one tie, and the first class wins.
TIE = 1e-9


class MomentsProbe(Probe):
    """Fitting from moments, whole, batch by batch, or from moments that others share.

    Scores are float64 tensors, computed 1,024 rows at a time. Those that tie with the best are made equal to it, so
    that the first maximum is the prediction (0 for two classes). A class without training examples scores -inf.
    """

    #: The second moments that the probe reads, as `ClassMoments` names them.
    second: tuple[str, ...] = ()

    def fit(self, X, y):
        """Fit from scratch.

        The estimator keeps the moments, so that :meth:`partial_fit` can go on from here; :meth:`fit_moments`
        leaves them to the caller.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
            Activations; float32 and float64 are kept, other NumPy types become float64.
        y : array-like or torch.Tensor of shape (n,)
            Class labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of range, arrays of wrong shape, NaN or infinity, or continuous labels.
        """
        self._check_parameters()
        rows, labels = check_rows_and_labels(self, X, y, reset=True)
        self._add(rows, labels, np.unique(labels), as_torch=isinstance(X, torch.Tensor))
        self._solve()
        return self

    def partial_fit(self, X, y, classes=None):
        """Add a batch of examples; equal to :meth:`fit` on all batches so far, in their order.

        Decomposing waits until the probe is used, so a batch costs its products only. A call after
        :meth:`fit` adds to what was fitted; a call after :meth:`fit_moments` starts anew.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
            Activations.
        y : array-like or torch.Tensor of shape (n,)
            Class labels.
        classes : array-like of shape (C,), default None
            All labels that may occur; required in a call that starts anew.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As :meth:`fit`; if ``classes`` is missing in the first call or differs later; for an unknown
            label.
        """
        self._check_parameters()
        first = self.__dict__.get("_moments") is None
        if first and classes is None:
            raise ValueError("classes must be passed to a partial_fit that starts anew")
        if not first and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={classes!r} differs from the classes so far: {self.classes_!r}")
        rows, labels = check_rows_and_labels(self, X, y, reset=first)
        self._add(rows, labels, classes if first else None, as_torch=isinstance(X, torch.Tensor))
        return self

    def fit_moments(self, moments):
        """Fit from moments that have already been collected; several probes can share them.

        Parameters
        ----------
        moments : ClassMoments
            At least one row, and the second moments that :attr:`second` names. It is read, and its decomposition
            is kept in it for the next probe.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of range, or moments without a row or without what the probe reads.
        """
        self._check_parameters()
        if moments.counts.sum() == 0:
            raise ValueError("moments hold no example")
        self.n_features_in_ = moments.n_features
        self.classes_ = moments.classes
        self._moments = None
        self._seen = moments.counts > 0
        self._parts = self._learn(moments)
        return self

    def _add(self, rows, labels, classes, as_torch):
        """Add rows to new moments if ``classes`` are given, else to those at hand."""
        if classes is not None:
            self._moments = ClassMoments(rows.shape[1], classes, rows.device, probe_dtype(rows), self.second)
            self.classes_ = self._moments.classes
        self._moments.update(rows, labels)
        self._as_torch = as_torch
        self._parts = None

    def _solve(self):
        parts = self._learn(self._moments)
        self._seen = self._moments.counts > 0
        self._parts = parts if self._as_torch else [as_array(part) for part in parts]
        self._moments.release()  # only the parts are needed, and a decomposition is as large as the moments

    @property
    def _learned(self):
        check_is_fitted(self)
        if self._parts is None:
            self._solve()
        return self._parts

    def __sklearn_is_fitted__(self):
        return "_parts" in self.__dict__

    def _scores(self, X):
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        parts = [torch.as_tensor(part, device=rows.device) for part in self._learned]
        scores = rows.new_empty((len(rows), len(self.classes_)), dtype=torch.float64)
        for chunk in chunks(len(rows)):
            scores[chunk] = self._scores_of(rows[chunk], parts)
        return scores

    def _scores_of(self, rows, parts):
        """Return the snapped scores (n, C) of rows (n, d) of whatever dtype."""
        return self._chunk_scores(rows.double(), parts)

    def _silence(self, scores):
        """Let classes never seen score -inf, in place."""
        scores[:, torch.as_tensor(~self._seen, device=scores.device)] = -torch.inf
        return scores

    def _snap(self, scores, tolerance):
        """Silence classes never seen, and lift ties to the best score."""
        scores = self._silence(scores)
        best = scores.max(dim=1, keepdim=True).values
        return torch.where(scores >= best - tolerance, best, scores)

    def _check_parameters(self):
        """Raise ValueError for a parameter out of range."""

    @abstractmethod
    def _learn(self, moments):
        """Return what scoring needs, as a list of float64 tensors."""

    @abstractmethod
    def _chunk_scores(self, rows, parts):
        """Return the snapped scores (n, C) of float64 rows (n, d)."""
