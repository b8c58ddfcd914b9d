"""Random projection of wide layers, with which manifolds keep their geometry at a fraction of the cost."""

import math

import torch

from latentgen import seeds

#: Features that one draw of the generator serves. Fixed, so that a layer's projection does not depend on what was
#: projected before.
BLOCK = 1024


class Projection:
    """Gaussian projection of N to ``features`` dimensions: rows of norm 1, times sqrt(N / features).

    The factor keeps lengths on average; mean-field results do not depend on it. A layer takes the first N columns of
    one endless matrix, so that a job holds one, not one for each layer. It is drawn on the CPU in float32, equal for
    every device. Source: Stephenson et al. (ICLR 2021), who project to 5,000 features.
    """

    def __init__(self, features: int, seed: int, device: torch.device):
        self.features, self._seed = features, seed
        self._columns = torch.empty(0, features, device=device)
        self._scales: dict[int, torch.Tensor] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Map (b, N) to (b, features); a layer that is no wider stays as it is."""
        width = x.shape[1]
        if width <= self.features:
            return x
        if width > len(self._columns):
            self._grow(width)
        if width not in self._scales:
            norms = self._columns[:width].square().sum(0, dtype=torch.float64).sqrt()
            self._scales[width] = (math.sqrt(width / self.features) / norms).float()
        return x @ self._columns[:width] * self._scales[width]

    def _grow(self, width: int) -> None:
        first = len(self._columns) // BLOCK
        blocks = [self._block(index) for index in range(first, -(-width // BLOCK))]
        self._columns = torch.cat([self._columns, *blocks])

    def _block(self, index: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seeds.derive("geometry projection", self._seed, index))
        return torch.randn(BLOCK, self.features, generator=generator).to(self._columns.device)
