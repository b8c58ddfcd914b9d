"""The small handwritten digits that come with scikit-learn."""

import numpy as np


def load() -> dict[str, np.ndarray]:
    """1,797 handwritten digits of 8 × 8 pixels in 0 … 16 (UCI, in scikit-learn): 1,347 to train, 450 to test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    parts = train_test_split(
        images, bunch.target.astype(np.int64), test_size=450, random_state=0, stratify=bunch.target
    )
    x_train, x_test, y_train, y_test = (np.ascontiguousarray(part) for part in parts)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
