"""Label views of a run: which examples make up its class manifolds, and which of their labels groups them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latentgen import seeds
from latentgen.labels import RunLabels
from latentgen.progress import log

#: Unpermuted: training examples whose given label is right. Permuted: the mislabelled ones by the label they were
#: given. Restored: the same ones by their true label. Test: test examples by true label.
VIEWS = ("unpermuted", "permuted", "restored", "test")


@dataclass(frozen=True)
class View:
    """Class manifolds of one view: ``examples`` (classes, points) indices into ``split``; without points where empty.

    ``split`` is train or test.
    """

    name: str
    split: str
    examples: np.ndarray

    @property
    def n(self) -> int:
        """Examples of all classes together."""
        return self.examples.size


def views(labels: RunLabels, test_labels: np.ndarray, n_classes: int, points: int, seed: int) -> list[View]:
    """The four views of a run, with at most ``points`` examples of each class.

    Capacity depends on their number M, so all views have one: the smaller of ``points`` and the smallest class over the
    views that are not empty. A view in which some class has fewer than two examples counts as empty, for one point has
    no geometry. Only the training split counts as training examples, not what is held out of it.

    Which examples are drawn depends on ``seed`` and the view alone: they are the same at every epoch and layer.
    Source: Stephenson et al. (ICLR 2021), whose views these are.
    """
    wrong = labels.train[labels.given[labels.train] != labels.true[labels.train]]
    right = labels.train[labels.given[labels.train] == labels.true[labels.train]]
    members = {
        "unpermuted": ("train", right, labels.given[right]),
        "permuted": ("train", wrong, labels.given[wrong]),
        "restored": ("train", wrong, labels.true[wrong]),
        "test": ("test", np.arange(len(test_labels)), np.asarray(test_labels)),
    }
    counts = {name: np.bincount(of, minlength=n_classes) for name, (_, _, of) in members.items()}
    smallest = {name: int(count.min()) for name, count in counts.items()}
    size = min([points, *(least for least in smallest.values() if least >= 2)])
    for name, count in counts.items():
        if count.any() and count.min() < points:
            bears = "counts as empty" if count.min() < 2 else "bounds the points of all views"
            log.warning("view %s %s: class %d has %d examples", name, bears, count.argmin(), count.min())
    found = []
    for name, (split, rows, of) in members.items():
        drawn: Sequence[np.ndarray] = [np.zeros(0, np.int64)] * n_classes
        if smallest[name] >= 2:
            random = np.random.default_rng(seeds.derive("geometry examples", seed, name))
            drawn = [random.permutation(rows[of == label])[:size] for label in range(n_classes)]
        found.append(View(name, split, np.stack(drawn)))
    return found
