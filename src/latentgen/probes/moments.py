"""Streaming per-class first and second moments of activations and their decomposition."""

import numpy as np
import torch

from latentgen.probes.arrays import as_array, as_tensor
from latentgen.probes.leading import leading
from latentgen.probes.products import add_self_product, self_product
from latentgen.probes.spectrum import Spectrum

#: Rows that are multiplied at once. Blocks start at fixed positions of a class's own row order, so the sums
#: do not depend on how the caller cut the rows into batches.
BLOCK = 1024

#: Largest entries whose squares, and their sums, stay well inside float32; beyond, rows are scaled by a power of two.
SAFE = (2.0**-40, 2.0**40)

#: Features up to which a full decomposition takes no longer than the leading axis alone.
FEW_FEATURES = 256

#: Second moments that can be collected: of rows as they are, and of rows around the mean of their class.
SECOND = ("gram", "scatter")


class ClassMoments:
    """Per-class sums and second moments, filled batch by batch.

    For every class k with rows X_k of shape (n_k, d) this holds what is needed to decompose X_k^T X_k: the
    rows themselves while n_k <= d (the decomposition then goes through the n_k x n_k dual Gram matrix X_k
    X_k^T), and the (d, d) Gram matrix from then on, so memory stays bounded by max(d, 1,024) rows per class.
    The same rows give the scatter of a class around its mean; once they are no longer kept, that is a second
    (d, d) matrix and a second product. The result is the same to the last bit for every way of cutting the same
    rows into batches, and whatever else is collected.

    Precision: a primal Gram matrix is summed in float64 from float32 products of blocks of 1,024 rows, or
    from float64 products if ``dtype`` is float64. Dual Gram matrices are float64 throughout, because axes are
    recovered from them by division by small eigenvalues. All decompositions are float64. A scatter is summed from
    products of the same kind, but of rows that were centred first: as a difference of the Gram matrix and the mean's
    square it would drown in rounding where the mean outweighs the spread, as in deep networks at initialisation.
    Rows so small or large that their squares would leave float32 are kept scaled by a power of two, which rounds
    nothing; what is returned is in the units of the rows.

    Parameters
    ----------
    n_features : int
        Number of features d.
    classes : array-like of shape (C,)
        All labels that may occur; stored sorted and unique.
    device : str or torch.device, default "cpu"
        Where rows and Gram matrices are kept and decomposed.
    dtype : torch.dtype, default torch.float32
        ``torch.float32`` or ``torch.float64``: precision of kept rows and products. Rows are cast to it.
    second : collection of str, default ("gram",)
        Which second moments to collect, of "gram" (for :meth:`eigen` and :meth:`rank`) and "scatter" (for
        :meth:`scatter`). Sums are always there.

    Attributes
    ----------
    classes : numpy.ndarray, (C,)
        Sorted labels.
    counts : numpy.ndarray, (C,) int64
        Rows seen per class.

    Raises
    ------
    ValueError
        If ``n_features`` < 1, ``classes`` is empty, ``dtype`` is neither of the two, or ``second`` names something
        else.
    """

    def __init__(self, n_features, classes, device="cpu", dtype=torch.float32, second=("gram",)):
        self.classes = np.unique(np.asarray(classes))
        if n_features < 1 or len(self.classes) == 0:
            raise ValueError(f"need at least one feature and one class, got {n_features} and {len(self.classes)}")
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
        if not set(second) <= set(SECOND):
            raise ValueError(f"second must be a collection out of {SECOND}, got {second!r}")
        self.n_features = int(n_features)
        self.device = torch.device(device)
        self.dtype = dtype
        self.second = frozenset(second)
        self._moments = [_Moment(self.n_features, self.device, dtype, self.second) for _ in self.classes]
        self._largest, self._scale = 0.0, 1.0

    @property
    def counts(self):
        return np.array([moment.count for moment in self._moments], dtype=np.int64)

    def update(self, X, y):
        """Add rows.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n, d)
            Activations. NaN or infinity is reported when a decomposition is asked for.
        y : array-like or torch.Tensor of shape (n,)
            Labels, each among ``classes``.

        Returns
        -------
        ClassMoments
            This object.

        Raises
        ------
        ValueError
            If the shapes disagree or a label is not among ``classes``; nothing has been added then.
        """
        rows, labels = as_tensor(X), as_array(y)
        if rows.ndim != 2 or rows.shape[1] != self.n_features or labels.shape != (len(rows),):
            raise ValueError(
                f"expected X of shape (n, {self.n_features}) and y of shape (n,), "
                f"got {tuple(rows.shape)} and {labels.shape}"
            )
        position = np.minimum(np.searchsorted(self.classes, labels), len(self.classes) - 1)
        unknown = self.classes[position] != labels
        if unknown.any():
            raise ValueError(f"y contains labels that are not among classes: {np.unique(labels[unknown])[:5]}")
        self._rescale(rows)
        order = torch.from_numpy(np.argsort(position, kind="stable")).to(rows.device)
        counts = np.bincount(position, minlength=len(self.classes))
        for moment, indices in zip(self._moments, torch.split(order, counts.tolist()), strict=True):
            moment.add(rows, indices, self._scale)
        return self

    def _rescale(self, rows):
        """Let all entries so far, with those of new ``rows``, be in the safe range once they are scaled."""
        floats = rows if rows.is_floating_point() else rows.to(self.dtype)
        largest = float(torch.linalg.vector_norm(floats, torch.inf)) if rows.numel() else 0.0
        if not np.isfinite(largest):  # reported when a decomposition is asked for
            return
        only_zeros = self._largest == 0
        self._largest = max(self._largest, largest)
        if self._largest > 0 and not SAFE[0] <= self._largest * self._scale <= SAFE[1]:
            scale = float(np.ldexp(1.0, -int(np.frexp(self._largest)[1])))
            for moment in () if only_zeros else self._moments:
                moment.rescale(scale / self._scale)
            self._scale = scale

    def sums(self):
        """Return the sum of the rows of each class, (C, d) float64 tensor."""
        return torch.stack([moment.sum() for moment in self._moments]) / self._scale

    def sum(self):
        """Return the sum of all rows of all classes, (d,) float64 tensor."""
        return self.sums().sum(0)

    def square_sum(self):
        """Return the sum of the squares of all entries of all rows."""
        return sum(moment.square_sum() for moment in self._moments) / self._scale**2

    def scatter(self, k=None):
        """Return how rows scatter around the mean of their class.

        Nothing is kept for the next call. Beside the result, a call takes the memory of 2,048 columns of it.

        Parameters
        ----------
        k : int, default None
            Position in ``classes``; None for the sum over all classes.

        Returns
        -------
        torch.Tensor, (d, d) float64
            Sum of (x - mean_k)(x - mean_k)^T, not divided by n_k.

        Raises
        ------
        ValueError
            If ``second`` lacks "scatter", or the moments are not finite.
        """
        if "scatter" not in self.second:
            raise ValueError("moments were collected without scatter: give ClassMoments second=('scatter',)")
        found = torch.zeros((self.n_features, self.n_features), device=self.device, dtype=torch.float64)
        for moment in self._moments if k is None else [self._moments[k]]:
            moment.add_scatter(found)
        if not torch.isfinite(found.diagonal()).all():
            raise ValueError(_not_finite(self.dtype))
        return found.div_(self._scale**2)

    def release(self):
        """Drop the decompositions made so far; they are made again when asked for."""
        for moment in self._moments:
            moment.forget()

    def eigen(self, k, n_axes=0):
        """Decompose the second moment of class number ``k``.

        The decomposition is kept until rows are added to the class or :meth:`release` is called, so probes
        that read the same moments share it.

        Parameters
        ----------
        k : int
            Position in ``classes``.
        n_axes : int, default 0
            How many leading axes to form, at most ``rank(k)``.

        Returns
        -------
        values : torch.Tensor, (min(n_k, d),) float64
            Eigenvalues of X_k^T X_k, descending (sums of squares, not divided by n_k). Do not write to them.
        axes : torch.Tensor, (d, n_axes) float64
            Orthonormal eigenvectors of the ``n_axes`` largest, each up to its sign.

        Raises
        ------
        ValueError
            If ``second`` lacks "gram", ``n_axes`` exceeds the numerical rank, or the moments are not finite.
        """
        rank = self.rank(k)
        if n_axes > rank:
            raise ValueError(f"class {self.classes[k]!r} has numerical rank {rank}, {n_axes} axes were asked for")
        return self._moments[k].values() / self._scale**2, self._moments[k].axes(n_axes)

    def leading_axis(self, k):
        """Return the leading axis of class number ``k``, as :meth:`eigen` does, without the other eigenvalues.

        Of more than 256 features it is found by itself (`latentgen.probes.leading`), whatever has been decomposed
        before, and agrees with :meth:`eigen` to rounding over the gap between the two largest eigenvalues.

        Parameters
        ----------
        k : int
            Position in ``classes``.

        Returns
        -------
        torch.Tensor, (d, 1) float64
            A unit vector, up to its sign; (d, 0) where all rows of the class are zero.

        Raises
        ------
        ValueError
            As :meth:`eigen`.
        """
        self._expect_gram()
        moment = self._moments[k]
        if self.n_features <= FEW_FEATURES:
            return moment.axes(min(1, self.rank(k)))
        return moment.leading_axis()

    def _expect_gram(self):
        if "gram" not in self.second:
            raise ValueError("moments were collected without gram: give ClassMoments second=('gram',)")

    def rank(self, k):
        """Return the numerical rank of class number ``k``: its eigenvalues above rounding.

        That is, above lambda_max * sqrt(max(n_k, d)) * eps, with eps of ``dtype``. Sums of that many rounded
        products carry random errors of this size; the worst case, max(n_k, d) * eps, is 7e-4 for 6,000
        float32 rows and would cut axes that matter from activations with a large mean. Eigenvalues are
        squares: a direction is lost if its root mean square is below about 3e-3 (float32) or 1e-7 (float64)
        of the largest one's.
        """
        self._expect_gram()
        values = self._moments[k].values()
        if len(values) == 0:
            return 0
        size = max(self._moments[k].count, self.n_features)
        threshold = values[0] * size**0.5 * torch.finfo(self.dtype).eps
        return int((values > threshold).sum())


class _Moment:
    """The second moment of one class."""

    def __init__(self, n_features, device, dtype, second):
        self.count = 0
        self._second = second
        self._kept = []  # full blocks, while rows are at most as many as features
        self._gram = None  # of all full blocks, from then on
        self._centre = None  # near the mean: that of the rows that were kept until then
        self._around_centre = None  # as the Gram matrix, of rows less the centre
        self._tail = torch.empty((0, n_features), device=device, dtype=dtype)
        self._fill = 0  # rows of the tail in use
        self._sum = torch.zeros(n_features, device=device, dtype=torch.float64)
        self._square_sum = 0.0
        self.forget()

    def forget(self):
        self._spectrum = None
        self._leading = None
        self._axes = {}

    def rescale(self, factor):
        """Multiply all rows so far by a power of two."""
        for kept in (*self._kept, self._tail, self._sum, self._centre):
            if kept is not None:
                kept *= factor
        for kept in (self._gram, self._around_centre):
            if kept is not None:
                kept *= factor**2
        self._square_sum *= factor**2
        self.forget()

    def add(self, rows, indices, scale):
        """Add ``rows[indices] * scale``, a block at a time, so that no more than a block is ever copied."""
        start = 0
        while start < len(indices):
            take = min(BLOCK - self._fill, len(indices) - start)
            self._reserve(self._fill + take)
            chosen = rows.index_select(0, indices[start : start + take])
            self._tail[self._fill : self._fill + take] = chosen if scale == 1 else chosen.double() * scale
            start += take
            self._fill += take
            self.count += take
            if self._fill == BLOCK:
                self._close_block()
        if start:
            self.forget()

    def _reserve(self, size):
        """Grow the tail by doubling: many classes with few rows must not take a block each."""
        if size > len(self._tail):
            grown = self._tail.new_empty((min(BLOCK, max(size, 2 * len(self._tail))), self._tail.shape[1]))
            grown[: self._fill] = self._tail[: self._fill]
            self._tail = grown

    def _close_block(self):
        self._sum += self._tail.sum(0, dtype=torch.float64)
        self._square_sum += _square_sum(self._tail)
        if self._second:
            self._kept.append(self._tail)
        if self.count > self._tail.shape[1] or not self._second:
            for block in self._kept:
                self._fold(block)
            self._kept = []  # the tail itself is overwritten by the next rows
        else:
            self._tail = self._tail[:0].clone()
        self._fill = 0

    def _fold(self, block):
        if "gram" in self._second:
            if self._gram is None:
                self._gram = self._empty_gram()
            self._gram += self_product(block)
        if "scatter" in self._second:
            if self._centre is None:
                self._centre = (self._sum / self.count).to(block.dtype)
                self._around_centre = self._empty_gram()
            add_self_product(self._around_centre, block - self._centre)

    def _empty_gram(self):
        return self._sum.new_zeros((len(self._sum), len(self._sum)))

    def _rest(self):
        return self._tail[: self._fill]

    def sum(self):
        return self._sum + self._rest().sum(0, dtype=torch.float64)

    def square_sum(self):
        return self._square_sum + _square_sum(self._rest())

    @property
    def _dual(self):
        return self.count <= self._tail.shape[1]

    def _blocks(self):
        return [*self._kept, self._rest()] if self._fill else self._kept

    def leading_axis(self):
        if self._leading is None:
            self._leading = self._lead()
        return self._leading

    def _lead(self):
        total = self.square_sum()
        if not np.isfinite(total):
            raise ValueError(_not_finite(self._tail.dtype))
        if total == 0:
            return self._sum.new_empty((len(self._sum), 0))
        if self._dual:
            blocks = self._blocks()

            def multiply(vector):
                return sum(block.T @ (block @ vector) for block in (rows.double() for rows in blocks))

        else:
            gram = self._primal_gram()

            def multiply(vector):
                return gram @ vector

        found = leading(multiply, len(self._sum), self._sum.device)
        if found is None:
            self.values()
            return self.axes(1)
        return found[:, None]

    def values(self):
        if self.count == 0:
            return self._sum.new_empty(0)
        if self._spectrum is None:
            matrix = self._dual_gram() if self._dual else self._primal_gram()
            if not torch.isfinite(matrix.diagonal()).all():
                raise ValueError(_not_finite(self._tail.dtype))
            self._spectrum = Spectrum(matrix)
        return self._spectrum.values

    def axes(self, n_axes):
        if n_axes == 0:
            return self._sum.new_empty((len(self._sum), 0))
        # Never a slice of what another probe asked for: LAPACK's axes differ in the last digit with how many are
        # wanted, and a probe's result must not depend on which others shared its pass.
        if n_axes not in self._axes:
            vectors = self._spectrum.vectors(n_axes)
            self._axes[n_axes] = self._to_features(vectors) if self._dual else vectors
        return self._axes[n_axes]

    def add_scatter(self, total):
        """Add the scatter around the mean to ``total``, (d, d) float64."""
        if self.count == 0:
            return
        mean = self.sum() / self.count
        if self._centre is None:
            for block in self._blocks():
                add_self_product(total, (block.double() - mean).to(block.dtype))
        else:
            total += self._around_centre
            add_self_product(total, self._rest() - self._centre)
            offset = mean - self._centre
            total.addr_(offset, offset, alpha=-self.count)

    def _primal_gram(self):
        """Gram matrix of all rows; the unfinished block is added without being consumed."""
        gram = self._gram.clone() if self._gram is not None else self._empty_gram()
        for block in self._blocks():
            gram += self_product(block)
        return gram

    def _dual_gram(self):
        blocks = self._blocks()
        edges = np.cumsum([0, *map(len, blocks)])
        gram = self._sum.new_empty((self.count, self.count))
        for i, left in enumerate(blocks):
            left = left.double()
            rows = slice(edges[i], edges[i + 1])
            gram[rows, rows] = self_product(left.T)
            for j in range(i):
                columns = slice(edges[j], edges[j + 1])
                gram[rows, columns] = left @ blocks[j].double().T
                gram[columns, rows] = gram[rows, columns].T
        return gram

    def _to_features(self, vectors):
        """Axes X^T u / sqrt(lambda) of the dual eigenvectors u."""
        blocks = self._blocks()
        parts = torch.split(vectors, [len(block) for block in blocks])
        axes = sum(block.double().T @ part for block, part in zip(blocks, parts, strict=True))
        axes /= axes.norm(dim=0)
        values = self._spectrum.values
        if values[vectors.shape[1] - 1] < 1e-6 * values[0]:
            # Rounding of large eigenvalues leaks into the axes of small ones; QR takes it out in that order.
            axes = torch.linalg.qr(axes).Q
        return axes


def _not_finite(dtype):
    return f"second moments are not finite: activations contain NaN or infinity, or their squares overflow {dtype}"


def _square_sum(rows):
    return float(torch.linalg.vector_norm(rows, dtype=torch.float64)) ** 2
