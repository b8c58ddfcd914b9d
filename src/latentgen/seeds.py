"""Named randomness: every random stream of the project is a seed derived from what it is for."""

import hashlib


def derive(purpose: str, *keys: int | str) -> int:
    """Seed in [0, 2**63) for one purpose, e.g. ``derive("order", model_seed, epoch)``.

    Streams of different purposes or keys are independent for practical ends, and stay what they are when another
    stream is added. The mapping is a BLAKE2b digest, equal on every platform and Python version.
    """
    name = "/".join([purpose, *(str(key) for key in keys)])
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
