"""What every probe is: a scikit-learn classifier that takes and returns NumPy arrays or torch tensors."""

from abc import ABCMeta, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from latentgen.probes.arrays import as_array, like


class Probe(ClassifierMixin, BaseEstimator, metaclass=ABCMeta):
    """A classifier by the largest of one score per class."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Subspaces through the origin cannot separate the centred blobs that the general checks score on, and
        # twenty epochs at the published step size end far from the optimum of their small sets.
        tags.classifier_tags.poor_score = True
        return tags

    def decision_function(self, X):
        """Return the score of each class.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
            Activations.

        Returns
        -------
        numpy.ndarray or torch.Tensor, (n, C), or (n,) for two classes
            Of the kind and on the device of ``X``. For two classes the score of the second minus that of the first.
        """
        scores = self._scores(X)
        return like(scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores, X)

    def predict(self, X):
        """Return the class with the largest score, the first one of equals.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
            Activations.

        Returns
        -------
        numpy.ndarray or torch.Tensor, (n,)
            Labels, of the kind and on the device of ``X``. String labels need NumPy input (``TypeError``).
        """
        winners = as_array(self._scores(X).argmax(1))
        return like(self.classes_[winners], X)

    def score(self, X, y, sample_weight=None):
        """Return the (weighted) fraction of correct predictions, a float in [0, 1].

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
        y : array-like or torch.Tensor of shape (n,)
        sample_weight : array-like of shape (n,), default None
        """
        return float(np.average(as_array(self.predict(X)) == as_array(y), weights=sample_weight))

    @abstractmethod
    def _scores(self, X):
        """Return one score per example and class as a tensor (n, C)."""
