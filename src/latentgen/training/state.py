"""Weights and resume states on disk, as safetensors."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from latentgen.files import atomic


def save_weights(model: torch.nn.Module, path: str | os.PathLike) -> None:
    """Write the model's state dict; equal weights give equal bytes."""
    _save({name: tensor for name, tensor in model.state_dict().items()}, path)


def load_weights(model: torch.nn.Module, path: str | os.PathLike) -> None:
    """Read weights into ``model``, on whatever device it is; a missing or spare tensor raises ``RuntimeError``."""
    tensors, _ = _load(path)
    model.load_state_dict(tensors)


def save_state(
    path: str | os.PathLike,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    records: dict[str, torch.Tensor],
    progress: dict[str, Any],
) -> None:
    """Write all that resuming needs into one file, so that weights, optimiser and history can never disagree."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items() if value is not None}
    tensors |= {f"records.{name}": tensor for name, tensor in records.items()}
    _save(tensors, path, {"progress": json.dumps(progress)})


def load_state(
    path: str | os.PathLike, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Restore model and optimiser in place; returns the tensors of the records and the progress that was saved."""
    tensors, metadata = _load(path)
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "records": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    model.load_state_dict(parts["model"])
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, slot = name.partition(".")
        state.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return parts["records"], json.loads(metadata["progress"])


def _save(tensors: dict[str, torch.Tensor], path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
    host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        save_file(host, temporary, metadata)


def _load(path: str | os.PathLike) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(Path(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
