"""A probe that classifies by the class mean that points the same way: the baseline of no structure at all."""

import torch

from latentgen.probes.from_moments import TIE, MomentsProbe

#: A mean this small, relative to the root mean square length of an example, is rounding noise and counts as zero.
NOISE = 1e-12


class NearestMean(MomentsProbe):
    """Cosine nearest class mean.

    Each class is the mean of its training activations; an example belongs to the class with the largest cosine
    between it and the mean, which is the score. Scores within 1e-9 of the best tie, and the first class wins.

    Edge cases: a zero vector scores 0 for every class. A class whose mean is zero up to rounding,
    |mean| <= 1e-12 rms|x|, scores 0. A class named in ``classes`` without a training example scores -inf and never
    wins.

    Attributes
    ----------
    classes_ : numpy.ndarray, (C,)
    n_features_in_ : int
    means_ : array or tensor, (C, d) float64
        Of the kind that was fitted (a tensor for moments); zero for a class without example.
    """

    @property
    def means_(self):
        return self._learned[0]

    def _learn(self, moments):
        means = class_means(moments)
        lengths = means.norm(dim=1, keepdim=True)
        noise = NOISE * (moments.square_sum() / moments.counts.sum()) ** 0.5
        return [means, torch.where(lengths > noise, means / lengths, 0.0)]

    def _chunk_scores(self, rows, parts):
        _, directions = parts
        lengths = rows.norm(dim=1, keepdim=True)
        return self._snap(torch.where(lengths > 0, rows @ directions.T / lengths, 0.0), TIE)


def class_means(moments):
    """Return the mean of each class of a `ClassMoments`, (C, d) float64 tensor, zero for one without example."""
    counts = torch.from_numpy(moments.counts).to(moments.device)
    return moments.sums() / counts.clamp(min=1)[:, None]
