"""Weights and resume states on disk, as safetensors."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from latentgen.digests import Damaged
from latentgen.files import atomic


def save_weights(model: torch.nn.Module, path: str | os.PathLike) -> str:
    """Write the model's state dict and return the SHA-256 of the file; equal weights give equal bytes."""
    return _save(model.state_dict(), path)


def load_weights(model: torch.nn.Module, weights: bytes | str | os.PathLike) -> None:
    """Read weights, a file or what is in one, into ``model``, on whatever device it is.

    Raises ``RuntimeError`` when a tensor is missing or spare, `Damaged` when the file is no safetensors.
    """
    content = weights if isinstance(weights, bytes) else Path(weights).read_bytes()
    model.load_state_dict(tensors_of(content, weights if content is not weights else "a file of weights"))


def tensors_of(content: bytes, path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Tensors, on the CPU, that the bytes of a safetensors file hold. Raises `Damaged` when they are none."""
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is no whole safetensors file: {error}") from error


def save_state(
    path: str | os.PathLike,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    records: dict[str, torch.Tensor],
    progress: dict[str, Any],
) -> None:
    """Write all that resuming needs into one file, so that weights, optimiser and history can never disagree.

    The file holds a digest of itself.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items() if value is not None}
    tensors |= {f"records.{name}": tensor for name, tensor in records.items()}
    tensors = _on_host(tensors)
    _save(tensors, path, {"progress": json.dumps({**progress, "sha256": _digest(tensors, progress)})})


def read_state(path: str | os.PathLike) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Tensors of ``model``, ``optimizer`` and ``records``, and the progress, as `save_state` wrote them.

    A state of an earlier version has no digest and is taken as it is. Raises `Damaged` when the file is not whole.
    """
    content = Path(path).read_bytes()
    tensors = tensors_of(content, path)
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "records": {}}
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        progress = json.loads(header["__metadata__"]["progress"])
        if not {"epoch", "history"} <= set(progress):
            raise KeyError("epoch, history")
        kept = progress.pop("sha256", None)
        found = _digest(tensors, progress)
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is no whole state of a training: {error!r}") from error
    if kept not in (None, found) or (kept is None and "digests" in progress):
        raise Damaged(f"{path} is damaged: the SHA-256 of what it holds is {found}, it says {kept}")
    return parts, progress


def restore(
    parts: Mapping[str, Mapping[str, torch.Tensor]], model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Put the tensors that `read_state` gave into model and optimiser, in place.

    Raises `Damaged`, and changes nothing, when they are not those of this model.
    """
    shapes, own = ({name: tensor.shape for name, tensor in t.items()} for t in (parts["model"], model.state_dict()))
    if shapes != own:
        raise Damaged(f"the state of the training has tensors {sorted(shapes)}, the model {sorted(own)}")
    model.load_state_dict(parts["model"])
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, slot = name.partition(".")
        state.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _on_host(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    host, seen = {}, set()
    for name, tensor in tensors.items():
        host[name] = tensor.detach().cpu().contiguous()
        place = host[name].untyped_storage().data_ptr()
        if place in seen:  # weights that are tied are written under each of their names
            host[name] = host[name].clone()
        seen.add(place)
    return host


def _save(tensors: Mapping[str, torch.Tensor], path: str | os.PathLike, metadata: dict[str, str] | None = None) -> str:
    content = save(_on_host(tensors), metadata)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _digest(tensors: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(progress).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
