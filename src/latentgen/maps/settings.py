"""Settings of the maps of an entry's runs, and what is fixed of each method. Imports nothing that computes."""

from collections.abc import Iterable, Mapping
from typing import Any

from latentgen.activations import OUTPUT

METHODS = ("umap", "pca", "tsne")

#: Neighbours of UMAP and of trustworthiness, UMAP's least distance between points, and the perplexity of t-SNE: the
#: defaults of umap-learn and scikit-learn, trustworthiness with as many neighbours as UMAP.
NEIGHBORS, MIN_DISTANCE, PERPLEXITY = 15, 0.1, 30.0

#: Trustworthiness is defined for fewer neighbours than half the examples, t-SNE for a lower perplexity than examples.
FEWEST = 2 * NEIGHBORS + 1
#: Trustworthiness takes the distances of all pairs: 0.8 GB of these.
MOST = 10_000

DEFAULTS: dict[str, Any] = {"methods": ["umap"], "layers": [OUTPUT], "examples": 1000}


def complete(maps: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Maps of an entry with defaults filled in; None where there are none."""
    return None if maps is None else DEFAULTS | dict(maps)


def errors(entry: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with the maps of a grid entry whose types a schema has checked: texts from the key on."""
    settings = complete(entry["maps"])
    if settings and not FEWEST <= settings["examples"] <= MOST:
        yield (
            f".examples: {settings['examples']} are too few for {NEIGHBORS} neighbours, or too many for the distances "
            f"of all pairs; allowed: {FEWEST} to {MOST}"
        )
