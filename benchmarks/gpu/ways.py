"""Ways of doing updates on a device: one by one from Python, in CUDA graphs, compiled, several networks at once."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional

from latentgen.pixels import Pixels


class Updates:
    """Networks of one form, each trained on its own order of the same examples; `step` is one update of all of them.

    Nothing in a step waits for the device or comes from the host, so that it can be captured: the place in the epoch is
    a tensor. Logits of the running pass are kept, as training keeps them.

    Parameters
    ----------
    networks : R of one form, with other weights
    pixels, labels : the training set on the device, ``labels`` (n,) int64
    orders : (R, n) int64 on the device
    compiled : whether the forward and backward pass are compiled (R = 1)
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        pixels: Pixels,
        labels: torch.Tensor,
        orders: torch.Tensor,
        batch_size: int,
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        compiled: bool = False,
    ):
        self.pixels, self.labels, self.orders, self.batch_size = pixels, labels, orders, batch_size
        self.forward, self.parameters, self.buffers = _alone(networks[0]) if len(networks) == 1 else _stacked(networks)
        if compiled:
            backend = "inductor" if labels.is_cuda else "aot_eager"
            self.forward = torch.compile(self.forward, backend=backend)
        self.optimizer = torch.optim.SGD(self.parameters, learning_rate, momentum=momentum, fused=True)
        self.position = torch.zeros(1, dtype=torch.int64, device=labels.device)
        self.offsets = torch.arange(batch_size, device=labels.device)
        self.rows = torch.arange(len(networks), device=labels.device)[:, None]
        self.seen: torch.Tensor | None = None
        self._start = [tensor.detach().clone() for tensor in (*self.parameters, *self.buffers)]

    def step(self) -> None:
        """One update of each network."""
        index = self.orders.index_select(1, (self.position + self.offsets) % self.orders.shape[1])
        logits = self.forward(self.pixels.batch(index))
        if self.seen is None:
            self.seen = torch.zeros(*self.orders.shape, logits.shape[-1], device=logits.device)
        targets = self.labels[index]
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / self.batch_size
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.seen[self.rows, index] = logits.detach()
        self.position += self.batch_size

    def reset(self) -> None:
        """Back to the start, in place, as captured graphs need it."""
        with torch.no_grad():
            for tensor, start in zip((*self.parameters, *self.buffers), self._start, strict=True):
                tensor.copy_(start)
            for state in self.optimizer.state.values():
                if state.get("momentum_buffer") is not None:
                    state["momentum_buffer"].zero_()
            self.position.zero_()

    def first(self) -> list[torch.Tensor]:
        """Weights of the first network."""
        return [tensor[0] if len(self.rows) > 1 else tensor for tensor in self.parameters]

    def captured(self, times: int) -> "torch.cuda.CUDAGraph":
        """Graph of ``times`` steps; the networks are back at the start afterwards."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # On a stream of its own: cuBLAS has a work space for each stream, and graphs that share one must not overlap.
        with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
            for _ in range(times):
                self.step()
        self.reset()
        return graph


def _alone(network: nn.Module):
    network.train()

    def forward(images: torch.Tensor) -> torch.Tensor:
        return network(images[0])[None]

    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return forward, list(network.parameters()), buffers


def _stacked(networks: Sequence[nn.Module]):
    """All networks as one, whose tensors have one more axis; products become batched, convolutions grouped."""
    for network in networks:
        network.train()
    parameters, buffers = stack_module_state(list(networks))
    frame = networks[0]

    def one(weights, statistics, images):
        return functional_call(frame, (weights, statistics), (images,))

    every = torch.vmap(one, randomness="different")
    return (
        lambda images: every(parameters, buffers, images),
        list(parameters.values()),
        [buffer for buffer in buffers.values() if buffer.is_floating_point()],
    )


def repeated(step: Callable[[], None], times: int) -> Callable[[], None]:
    """Call ``step`` so many times."""

    def work() -> None:
        for _ in range(times):
            step()

    return work


def on_streams(graphs: Sequence["torch.cuda.CUDAGraph"]) -> Callable[[], None]:
    """Replay each graph on a stream of its own."""
    streams = [torch.cuda.Stream() for _ in graphs]

    def work() -> None:
        for graph, stream in zip(graphs, streams, strict=True):
            with torch.cuda.stream(stream):
                graph.replay()

    return work
