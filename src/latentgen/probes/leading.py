"""The leading eigenpair of a symmetric positive semi-definite matrix, without the others."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal

#: Most steps. Where the two largest eigenvalues differ by a hundredth, some 170 suffice.
STEPS = 200
#: Steps between two looks at what has been found.
_LOOK = 5
#: Residual of an eigenpair, relative to its eigenvalue, below which it is found: rounding of one product.
_TOLERANCE = 4 * np.finfo(np.float64).eps


def leading(
    multiply: Callable[[torch.Tensor], torch.Tensor], size: int, device: torch.device | str = "cpu"
) -> torch.Tensor | None:
    """Return the unit eigenvector of the largest eigenvalue, (size,) float64, or None where it is not found.

    The Lanczos method with every vector orthogonalised against all before it. It starts from a fixed random vector,
    which an eigenvector of interest is orthogonal to only by design. It is not found in `STEPS` steps where the two
    largest eigenvalues are nearly equal; a full decomposition then takes no longer.

    Parameters
    ----------
    multiply : the matrix times a (size,) float64 vector on ``device``

    Examples
    --------
    >>> matrix = torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64))
    >>> leading(lambda vector: matrix @ vector, 3).abs().round(decimals=6).tolist()
    [0.0, 1.0, 0.0]
    """
    start = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(device)
    steps = min(STEPS, size)
    basis = start.new_empty((steps, size))
    basis[0] = start / start.norm()
    diagonal, beside = [], []
    for step in range(steps):
        image = multiply(basis[step])
        diagonal.append(float(image @ basis[step]))
        known = basis[: step + 1]
        for _ in range(2):  # once leaves what cancellation has left
            image = image - known.T @ (known @ image)
        beside.append(float(image.norm()))
        exhausted = beside[-1] <= _TOLERANCE * max(diagonal)
        if exhausted or step + 1 == steps or (step + 1) % _LOOK == 0:
            values, vectors = eigh_tridiagonal(diagonal, beside[:-1])
            weights = vectors[:, -1]
            if exhausted or beside[-1] * abs(weights[-1]) <= _TOLERANCE * values[-1]:
                found = known.T @ torch.from_numpy(weights).to(device)
                return found / found.norm()
        if step + 1 < steps:
            basis[step + 1] = image / beside[-1]
    return None
