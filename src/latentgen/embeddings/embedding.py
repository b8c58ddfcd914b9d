"""One embedding: a layer's examples in two dimensions, laid onto the one before, and how far it can be trusted."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import orthogonal_procrustes
from threadpoolctl import threadpool_limits

from latentgen.embeddings.declaration import MIN_DISTANCE, NEIGHBORS, PERPLEXITY

#: Largest features of which UMAP and t-SNE, which compute in float32, make what they make of others.
SAFE = (2.0**-30, 2.0**30)
#: Standard deviation of the components that t-SNE starts from, as scikit-learn advises.
_START = 1e-4


class Embedding(NamedTuple):
    """``points`` (n, 2) float64, without a unit and centred at 0; ``trustworthiness`` of all of them, at most 1."""

    points: np.ndarray
    trustworthiness: float


def embed(method: str, features: np.ndarray, previous: np.ndarray | None, seed: int) -> Embedding | None:
    """Embedding of ``features``, as close to the ``previous`` one as rotation, reflection and shift can bring it.

    UMAP and t-SNE start from the previous embedding, else from principal components: they find one of many good
    embeddings, and starts that are alike make embeddings alike. Trustworthiness is that of Venna & Kaski (2001), with
    15 neighbours.

    Parameters
    ----------
    method : umap (McInnes et al. 2018), pca, or tsne (van der Maaten & Hinton 2008)
    features : (n, d) floats, of more than 30 examples
    previous : (n, 2) float64 of the same examples, None at the first epoch
    seed : of the random numbers of all methods, below 2**32

    Returns
    -------
    Embedding, or None where all examples are equal or some value is not finite.
    """
    from sklearn.manifold import trustworthiness

    if not np.isfinite(features).all() or not np.ptp(features, axis=0).any():
        return None
    # Distances are kept, and lose fewer digits to rounding.
    features = features - features.mean(axis=0, dtype=np.float64)
    # Sums of several threads are not equal from call to call.
    with threadpool_limits(limits=1):
        if method == "pca":
            points = _components(features, seed)
        else:
            start = _start(features, previous, seed)
            points = {"umap": _umap, "tsne": _tsne}[method](_safe(features), start, seed)
        points = points.astype(np.float64)
        points = points - points.mean(axis=0) if previous is None else aligned(points, previous)
        return Embedding(points, float(trustworthiness(features, points, n_neighbors=NEIGHBORS)))


def aligned(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """``points`` (n, 2) rotated, perhaps reflected, and shifted to the least squared distance from ``onto`` (n, 2).

    Distances between points stay what they are. Source: orthogonal Procrustes problem, Schönemann (1966).
    """
    points, center = points - points.mean(axis=0), onto.mean(axis=0)
    rotation, _ = orthogonal_procrustes(points, onto - center)
    return points @ rotation + center


def _components(features: np.ndarray, seed: int) -> np.ndarray:
    """First two principal components; the second is 0 where there is but one feature."""
    from sklearn.decomposition import PCA

    n, d = features.shape
    # A full decomposition of more features than examples is slow, and two components need none.
    solver = "full" if d <= n else "arpack"
    found = PCA(min(2, d), svd_solver=solver, random_state=seed).fit_transform(features)
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def _start(features: np.ndarray, previous: np.ndarray | None, seed: int) -> np.ndarray:
    """The previous one as it is: t-SNE would lose the places of its clusters if it were shrunk, as components are."""
    if previous is not None:
        return previous
    points = _components(features, seed)
    # Equal points, or all on one line, would never part.
    points += 1e-5 * np.ptp(points) * np.random.default_rng(seed).normal(size=points.shape)
    return _START / points.std(axis=0).max() * points


def _safe(features: np.ndarray) -> np.ndarray:
    """Features times a power of two where their squares would leave float32; neither method knows a unit of length."""
    largest = np.abs(features).max()
    return features if SAFE[0] <= largest <= SAFE[1] else np.ldexp(features, -np.frexp(largest)[1])


def _umap(features: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP  # compiles for seconds, so only where it is asked for

    mapper = UMAP(n_neighbors=NEIGHBORS, min_dist=MIN_DISTANCE, init=start, random_state=seed, n_jobs=1)
    return mapper.fit_transform(features)


def _tsne(features: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    return TSNE(perplexity=PERPLEXITY, init=start, random_state=seed, n_jobs=1).fit_transform(features)
