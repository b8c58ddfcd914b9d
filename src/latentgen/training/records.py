"""Per-example running records: what training itself saw of each example, which nobody can get back later."""

import torch
from torch.nn import functional


class Records:
    """Sums over epochs of each training example's margin, loss, confidence and flips, towards its given label.

    Values come from the training forward passes, before the update that the example took part in, so they cost no
    pass of their own. Margins are logit margins z_y - max_{k≠y} z_k (the area under the margin of Pleiss et al. 2020
    is ``sum_margin`` / epochs), confidences are softmax probabilities of the given label (data maps, Swayamdipta
    et al. 2020), flips follow Toneva et al. (2019). ``first_correct`` is the first epoch that got the example right,
    -1 before that. All tensors are (n,).
    """

    FLOATS = ("sum_margin", "sum_loss", "sum_confidence", "sum_confidence_squared")
    INTEGERS = ("correct", "learned", "forgotten", "first_correct")

    def __init__(self, labels: torch.Tensor):
        self.labels = labels
        n, device = len(labels), labels.device
        self.columns = {name: torch.zeros(n, dtype=torch.float64, device=device) for name in self.FLOATS}
        self.columns |= {name: torch.zeros(n, dtype=torch.int64, device=device) for name in self.INTEGERS}
        self.columns["first_correct"].fill_(-1)
        self.was_correct = torch.zeros(n, dtype=torch.bool, device=device)

    def update(self, epoch: int, logits: torch.Tensor) -> None:
        """Take in one epoch's logits (n, C), row i from the pass in which example i was trained on."""
        logits = logits.double()
        right = logits.gather(1, self.labels[:, None])[:, 0]
        others = logits.scatter(1, self.labels[:, None], -torch.inf).amax(1)
        loss = functional.cross_entropy(logits, self.labels, reduction="none")
        confidence = (-loss).exp()
        correct = logits.argmax(1) == self.labels
        columns = self.columns
        columns["sum_margin"] += right - others
        columns["sum_loss"] += loss
        columns["sum_confidence"] += confidence
        columns["sum_confidence_squared"] += confidence**2
        columns["correct"] += correct
        columns["learned"] += correct & ~self.was_correct
        columns["forgotten"] += ~correct & self.was_correct
        first = columns["first_correct"]
        first[correct & (first < 0)] = epoch
        self.was_correct = correct

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that resuming needs."""
        return {**self.columns, "was_correct": self.was_correct}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave."""
        for name in self.columns:
            self.columns[name].copy_(tensors[name])
        self.was_correct = tensors["was_correct"].to(self.labels.device)
