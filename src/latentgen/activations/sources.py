"""Activations of a checkpoint, a chunk of examples at a time: computed as they are read, or read from a kept dump.

Both sources give the same chunks with the same values, so that whatever reads them gives the same result.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from latentgen.activations import BATCH_NORM, INPUT, OUTPUT
from latentgen.checkpoints import Checkpoint
from latentgen.datasets import Dataset
from latentgen.digests import Damaged, expect
from latentgen.files import atomic
from latentgen.pixels import Pixels
from latentgen.progress import log
from latentgen.training.state import load_weights

#: Examples in a chunk. Fixed, because convolutions and products differ in the last digit with the batch.
CHUNK = 1000

#: Name of the file that holds the digests of a dump.
DIGESTS = "digests.json"

#: Splits in the order of a dump's rows.
SPLITS = ("train", "test")


class Stream:
    """Activations of ``model`` in eval mode on the images of ``data``, computed on ``device``."""

    def __init__(self, model: torch.nn.Module, data: Dataset, device: torch.device):
        self.device = device
        self.model = model.to(device).eval()
        self.pixels = {"train": Pixels(data.x_train, data, device), "test": Pixels(data.x_test, data, device)}
        self.layers = [INPUT, *model.probed]

    def load(self, checkpoint: Checkpoint | str | os.PathLike) -> None:
        """Take the weights of ``checkpoint``; a file alone is taken as it is.

        Raises `latentgen.digests.Damaged` when they are not those of the index that the checkpoint is from.
        """
        load_weights(self.model, checkpoint.read() if isinstance(checkpoint, Checkpoint) else checkpoint)

    @torch.no_grad()
    def chunks(
        self, split: str, layers: Iterable[str], batch_norm: str = "running", examples: np.ndarray | None = None
    ) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
        """Yield (rows of the split, {layer: (b, features) float32 on the device}), in the data set's order.

        An activation is flattened as (channels, height, width); ``input`` is the normalised image, ``output`` the
        logits. With ``examples``, (n,) indices into the split, only those are computed, in that order, and the rows
        count them.

        With ``batch_norm="running"`` the whole model is in eval mode. With ``"example"`` every batch-norm module
        normalises each example, the first axis of its input, by its own mean and biased variance over the positions of
        a channel: what training mode gives at batch size 1. Everything else stays in eval mode, and the running
        statistics stay as they are.

        Raises ``ValueError`` on an unknown mode, where a layer's submodule is called twice, and in mode ``"example"``
        when a batch-norm module has only one position for each channel or is of a subclass with a forward pass of its
        own.
        """
        if batch_norm not in BATCH_NORM:
            raise ValueError(f"unknown batch_norm {batch_norm!r}; known: {', '.join(BATCH_NORM)}")
        statistics = _own_statistics if batch_norm == "example" else nullcontext
        layers = list(layers)
        pixels = self.pixels[split]
        total = len(pixels) if examples is None else len(examples)
        for start in range(0, total, CHUNK):
            rows = slice(start, min(start + CHUNK, total))
            batch = pixels.batch(rows if examples is None else torch.from_numpy(examples[rows]).to(self.device))
            caught = {INPUT: batch.clone()}
            wanted = [name for name in layers if name not in (INPUT, OUTPUT)]
            if wanted or OUTPUT in layers:
                with statistics(self.model), _caught(self.model, wanted, caught):
                    caught[OUTPUT] = self.model(batch)
            yield rows, {name: caught[name].flatten(1) for name in layers}


@contextmanager
def _caught(model: torch.nn.Module, layers: list[str], into: dict[str, torch.Tensor]) -> Iterator[None]:
    """Put the output of each layer into ``into``; on the model for one pass, so that readers do not meet."""
    modules = dict(model.named_modules())
    hooks = [modules[model.probed[name]].register_forward_hook(_catch(into, name)) for name in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _catch(caught: dict[str, torch.Tensor], name: str):
    def hook(_module, _inputs, output):
        if name in caught:
            raise ValueError(f"layer {name!r} names a submodule that is called twice; give each layer one of its own")
        caught[name] = output.detach().clone()  # a module that follows may work in place

    return hook


@contextmanager
def _own_statistics(model: torch.nn.Module) -> Iterator[None]:
    """Let each batch-norm module of ``model`` normalise every example by its own statistics."""
    replaced = []
    try:
        for name, module in model.named_modules():
            if isinstance(module, _BatchNorm):
                if getattr(module.forward, "__func__", None) is not _BatchNorm.forward:
                    raise ValueError(
                        f"submodule {name!r} ({type(module).__name__}) has a forward pass of its own, which batch_norm "
                        "'example' cannot replace; use 'running'"
                    )
                module.forward = partial(_normalise_examples, name, module)
                replaced.append(module)
        yield
    finally:
        for module in replaced:
            del module.forward


def _normalise_examples(name: str, module: _BatchNorm, x: torch.Tensor) -> torch.Tensor:
    if x.shape[2:].numel() == 1:
        raise ValueError(
            f"submodule {name!r}: batch_norm 'example' needs more than one position for each channel, got an input of "
            f"shape {tuple(x.shape)}; use 'running'"
        )
    return functional.instance_norm(x, weight=module.weight, bias=module.bias, eps=module.eps)


class Dump:
    """Activations that `dump_layers` wrote into ``folder``, from a stream ``like`` this one.

    A dump holds those of eval mode. Each chunk is compared with its digest when it is first read; a dump of an earlier
    version has none. Raises `latentgen.digests.Damaged` when what is read is not what was written, or ``sha256`` is
    given and not that of the weights that the dump is of.
    """

    def __init__(self, folder: str | os.PathLike, like: Stream, sha256: str | None = None):
        self.folder, self.layers, self.device = Path(folder), like.layers, like.device
        self.sizes = {split: len(pixels) for split, pixels in like.pixels.items()}
        self._unread: dict[str, dict[str, list[str | None]]] = {}
        noted = self.folder / DIGESTS
        if not noted.exists():
            log.info("%s was written without digests and is taken as it is", folder)
            return
        try:
            kept = json.loads(noted.read_text())
            self._unread, weights = kept["layers"], kept["weights"]
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{noted} is damaged: {error}. {self._remedy()}") from error
        if sha256 is not None and weights != sha256:
            raise Damaged(f"{folder} is of weights with the SHA-256 {weights}, not {sha256}. {self._remedy()}")

    def chunks(
        self, split: str, layers: Iterable[str], batch_norm: str = "running"
    ) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
        """As `Stream.chunks`; a ``batch_norm`` other than ``"running"`` raises ``ValueError``."""
        if batch_norm != "running":
            raise ValueError(f"dumps hold batch_norm 'running' alone; for {batch_norm!r} set `activations: stream`")
        first = sum(self.sizes[name] for name in SPLITS[: SPLITS.index(split)])
        arrays = {name: self._open(name) for name in layers}
        for start in range(0, self.sizes[split], CHUNK):
            rows = slice(start, min(start + CHUNK, self.sizes[split]))
            parts = {name: np.array(array[first + rows.start : first + rows.stop]) for name, array in arrays.items()}
            for name, part in parts.items():
                self._verify(name, split, start // CHUNK, part)
            yield rows, {name: torch.from_numpy(part).to(self.device) for name, part in parts.items()}

    def _open(self, layer: str) -> np.ndarray:
        path = self.folder / f"{layer}.npy"
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, FileNotFoundError) as error:
            raise Damaged(f"{path} is missing or no whole .npy file. {self._remedy()}") from error

    def _verify(self, layer: str, split: str, chunk: int, part: np.ndarray) -> None:
        if not self._unread:
            return
        noted = self.folder / DIGESTS
        try:
            kept = self._unread[layer][split]
            sha256, kept[chunk] = kept[chunk], None
        except (KeyError, IndexError, TypeError) as error:
            raise Damaged(f"{noted} is damaged: it lacks chunk {chunk} of {layer}. {self._remedy()}") from error
        if sha256 is not None:
            what = f"chunk {chunk} of {split} in {self.folder / layer}.npy"
            expect(what, _digest(part), sha256, str(noted), self._remedy())

    def _remedy(self) -> str:
        # The folders of a block of dumps, a run and an epoch.
        return f"Call 'rm -r {self.folder.parent.parent}', then Snakemake again, which dumps that block anew"


def dump_layers(stream: Stream, folder: str | os.PathLike, sha256: str) -> None:
    """Write every layer into ``folder`` as ``{layer}.npy``, and their digests; ``sha256`` is that of the weights."""
    layers = {layer: dump(stream, layer, Path(folder) / f"{layer}.npy") for layer in stream.layers}
    with atomic(Path(folder) / DIGESTS) as temporary:
        temporary.write_text(json.dumps({"weights": sha256, "layers": layers}, indent=1) + "\n")


def dump(stream: Stream, layer: str, path: str | os.PathLike) -> dict[str, list[str]]:
    """Write ``layer`` in eval mode as float32 (training examples, then test examples; features) to ``path``.

    Returns the SHA-256 of each chunk of each split. Raises ``ValueError`` when the model has no such layer.
    """
    if layer not in stream.layers:
        raise ValueError(f"the model has no layer {layer!r}; it has {', '.join(stream.layers)}")
    total = sum(len(stream.pixels[split]) for split in SPLITS)
    digests: dict[str, list[str]] = {split: [] for split in SPLITS}
    with atomic(path) as temporary:
        array, first = None, 0
        for split in SPLITS:
            for rows, parts in stream.chunks(split, [layer]):
                part = parts[layer].cpu().numpy()
                if array is None:
                    shape = (total, part.shape[1])
                    array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
                array[first + rows.start : first + rows.stop] = part
                digests[split].append(_digest(part))
            first += len(stream.pixels[split])
        array.flush()
    return digests


def _digest(part: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(part)).hexdigest()
