"""What a training does, apart from data and seeds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Cross-entropy training without weight decay or schedule, as in the published experiments.

    Attributes
    ----------
    optimizer : ``"sgd"`` (with ``momentum``) or ``"adam"`` (PyTorch's default betas)
    learning_rate, batch_size : as usual; the last batch of an epoch may be smaller
    epochs : the most that are trained
    shuffle : draw a new order every epoch, or keep the data set's order as the published loader does
    stop_accuracy : stop after the first epoch whose running accuracy on given labels reaches this fraction, or None
    """

    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    momentum: float = 0.0
    shuffle: bool = True
    stop_accuracy: float | None = None

    @classmethod
    def from_config(cls, mapping: Mapping[str, Any]) -> "Recipe":
        """Recipe of a ``training`` section that the configuration's schema has accepted."""
        return cls(**mapping)

    def stop_count(self, n: int) -> int | None:
        """Fewest correct of ``n`` that satisfy the stop rule, exact in the decimal that was written, or None."""
        if self.stop_accuracy is None:
            return None
        return math.ceil(Fraction(str(self.stop_accuracy)) * n)
