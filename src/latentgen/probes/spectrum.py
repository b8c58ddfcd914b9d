"""Leading eigenpairs of a symmetric positive semi-definite matrix, eigenvalues first."""

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal, lapack


class Spectrum:
    """All eigenvalues of a symmetric matrix now, as many leading eigenvectors as wanted later.

    How many eigenvectors a probe needs is known only from the eigenvalues. On a CPU the matrix is reduced
    to tridiagonal form once (LAPACK ``dsytrd``); its eigenvalues are cheap, and only the eigenvectors asked
    for are formed (``dstemr``) and turned back (``dormqr``). For 2,048 features and 256 axes on one thread
    that took 0.7 s, against 2.2 s for ``torch.linalg.eigh`` and 1.4 s for ``numpy.linalg.eigh``. On a GPU it
    is ``torch.linalg.eigh``.

    Parameters
    ----------
    matrix : torch.Tensor, (m, m) float64
        Symmetric positive semi-definite up to rounding; one triangle is read. Left unchanged.

    Attributes
    ----------
    values : torch.Tensor, (m,) float64
        Eigenvalues, descending; rounding below zero is clipped.
    """

    def __init__(self, matrix):
        # A power of two keeps the tridiagonal solver away from under- and overflow and rounds nothing.
        largest = float(matrix.diagonal().max())
        self._scale = float(np.ldexp(1.0, int(np.frexp(largest)[1]))) if largest > 0 else 1.0
        scaled = matrix / self._scale
        if matrix.is_cuda:
            values, vectors = torch.linalg.eigh(scaled)
            self._vectors = vectors.flip(1)
        else:
            values, self._vectors = self._reduce(scaled.numpy()), None
        self.values = values.flip(0).clamp_(min=0).mul_(self._scale)

    def _reduce(self, array):
        """Keep Q and T of ``array`` = Q T Q^T; return the ascending eigenvalues of T."""
        if len(array) == 1:
            self._diagonal, self._off_diagonal = array[0].copy(), np.empty(0)
        else:
            work, _ = lapack.dsytrd_lwork(len(array), lower=1)
            # The transposed view of a symmetric array is the Fortran order LAPACK works in, without a copy.
            self._reflectors, self._diagonal, self._off_diagonal, self._tau, info = lapack.dsytrd(
                array.T, lower=1, lwork=int(work), overwrite_a=1
            )
            _expect_success("dsytrd", info)
        return torch.from_numpy(eigvalsh_tridiagonal(self._diagonal, self._off_diagonal, lapack_driver="sterf"))

    def vectors(self, n_vectors):
        """Return orthonormal eigenvectors of the largest eigenvalues, (m, n_vectors) float64."""
        if self._vectors is not None:
            return self._vectors[:, :n_vectors]
        size = len(self._diagonal)
        if n_vectors == 0 or size == 1:
            return torch.ones((size, n_vectors), dtype=torch.float64)
        _, small = eigh_tridiagonal(
            self._diagonal,
            self._off_diagonal,
            select="i",
            select_range=(size - n_vectors, size - 1),
            lapack_driver="stemr",
        )
        small = np.array(small[:, ::-1], order="F")
        # Q = diag(1, H_1 ... H_{m-1}): the reflectors below the sub-diagonal are laid out as a QR's.
        reflectors, rest = self._reflectors[1:, :-1], small[1:]
        _, work, info = lapack.dormqr("L", "N", reflectors, self._tau, rest, -1)
        _expect_success("dormqr", info)
        small[1:], _, info = lapack.dormqr("L", "N", reflectors, self._tau, rest, int(work[0]))
        _expect_success("dormqr", info)
        return torch.from_numpy(np.array(small, order="C"))


def _expect_success(routine, info):
    if info != 0:
        raise np.linalg.LinAlgError(f"LAPACK {routine} failed with info = {info}")
