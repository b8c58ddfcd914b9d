"""Where jobs compute, and with how many threads."""

import torch
from threadpoolctl import threadpool_limits


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is a GPU, else the CPU. Raises ``RuntimeError`` when CUDA is asked for in vain."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError("device is set to 'cuda' but PyTorch finds no GPU; set device to 'auto' or 'cpu'")
    # PyTorch lets convolutions, not products, round to TF32: three digits, which visibly bends subspaces.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


def use_threads(n: int) -> None:
    """Compute with ``n`` threads in torch and in every BLAS loaded so far, whatever the scheduler granted.

    The count is part of a result's identity: two threads add in another order than one.
    """
    torch.set_num_threads(n)
    threadpool_limits(limits=n)
