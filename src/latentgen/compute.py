"""Where jobs compute, and with how many threads."""

import os

import torch
from threadpoolctl import threadpool_limits

from latentgen import devices


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is a GPU, else the CPU. CUDA comes with the number of the GPU.

    Of the GPUs that this process sees, one is leased for its life, and waited for if need be (`latentgen.devices`);
    ``cuda:N`` is that one. Raises ``RuntimeError`` when CUDA is asked for in vain.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError("device is set to 'cuda' but PyTorch finds no GPU; set device to 'auto' or 'cpu'")
    # PyTorch lets convolutions, not products, round to TF32: three digits, which visibly bends subspaces.
    torch.backends.cudnn.allow_tf32 = False
    # Its fastest gradients of convolutions add in an order that differs from call to call.
    torch.backends.cudnn.deterministic = True
    place = torch.device(name)
    if place.type != "cuda":
        return place
    numbers = range(torch.cuda.device_count()) if place.index is None else [place.index]
    # Numbers depend on CUDA_VISIBLE_DEVICES; a device's own identity does not.
    identities = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
    number = numbers[devices.lease(identities, int(os.environ.get(devices.JOBS_PER_GPU, 1)))]
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def use_threads(n: int) -> None:
    """Compute with ``n`` threads in torch and in every BLAS loaded so far, whatever the scheduler granted.

    The count is part of a result's identity: two threads add in another order than one.
    """
    torch.set_num_threads(n)
    threadpool_limits(limits=n)
