"""Small data sets in the exact layout of the published ones, and a stand-in for the network."""

import gzip
import hashlib
import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torchvision
from PIL import Image

from latentgen.datasets import torchvision_sets


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder under ``root`` with its size and time of change."""
    return {str(path.relative_to(root)): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in root.rglob("*")}


def no_network(monkeypatch) -> None:
    """Let torchvision's downloader fail as it does without a network."""

    def download_url(url, root, filename=None, md5=None):
        # As in torchvision, nothing is fetched where an intact file lies.
        if not torchvision.datasets.utils.check_integrity(str(Path(root) / filename), md5):
            raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", download_url)


def network(monkeypatch, source: Path) -> list[str]:
    """Let torchvision's downloader take files from ``source``; the list fills with the names of those it took."""
    taken = []

    def download_url(url, root, filename=None, md5=None):
        target = Path(root) / filename
        if not torchvision.datasets.utils.check_integrity(str(target), md5):
            assert url.endswith(f"/{filename}")
            shutil.copy(next(source.rglob(filename)), target)
            taken.append(filename)
        assert torchvision.datasets.utils.check_integrity(str(target), md5)

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", download_url)
    return taken


# ---- torchvision's sets: written under a root, with torchvision's md5 lists set to the sums of what was written ----


def write_torchvision_set(name: str, root: Path, monkeypatch) -> dict[str, np.ndarray]:
    """Archives of ``name`` under ``root``; the four arrays that they hold."""
    if name in ("mnist", "fashion-mnist"):
        return _write_idx(name, root, monkeypatch)
    return _write_cifar(name, root, monkeypatch)


def unpack(name: str, root: Path) -> list[Path]:
    """Replace the archives of ``name`` by what is in them; the files that were in them."""
    if name == "mnist":
        archives = sorted((root / "MNIST" / "raw").glob("*.gz"))
        unpacked = [archive.with_suffix("") for archive in archives]
        for archive, file in zip(archives, unpacked, strict=True):
            file.write_bytes(gzip.decompress(archive.read_bytes()))
    else:
        archives = [root / getattr(torchvision.datasets, torchvision_sets.CLASSES[name]).filename]
        with tarfile.open(archives[0]) as archive:
            archive.extractall(root, filter="data")
            unpacked = [root / member.name for member in archive.getmembers()]
    for archive in archives:
        archive.unlink()
    return unpacked


def _write_idx(name: str, root: Path, monkeypatch) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    dataset = getattr(torchvision.datasets, torchvision_sets.CLASSES[name])
    raw = root / dataset.__name__ / "raw"
    raw.mkdir(parents=True)
    arrays, resources, unpacked = {}, [], {}
    for part, prefix, n in (("train", "train", 30), ("test", "t10k", 12)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = rng.permutation(np.arange(n) % 10).astype(np.uint8)
        arrays |= {f"x_{part}": images[:, None], f"y_{part}": labels.astype(np.int64)}
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            # The idx format: two zero bytes, 8 for unsigned bytes, the number of axes, their lengths, the bytes.
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            file = raw / f"{prefix}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(header + array.tobytes()))
            resources.append((file.name, md5(file)))
            unpacked[file.stem] = hashlib.md5(header + array.tobytes()).hexdigest()
    monkeypatch.setattr(dataset, "resources", resources)
    if name == "mnist":
        monkeypatch.setattr(torchvision_sets, "UNPACKED_MNIST", unpacked)
    return arrays


def _write_cifar(name: str, root: Path, monkeypatch) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    dataset = getattr(torchvision.datasets, torchvision_sets.CLASSES[name])
    root.mkdir(parents=True, exist_ok=True)
    images, labels, members = {"train": [], "test": []}, {"train": [], "test": []}, {}
    for part, batches in (("train", dataset.train_list), ("test", dataset.test_list)):
        for batch, _ in batches:
            pixels = rng.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
            batch_labels = rng.permutation(20) % 10 if name == "cifar10" else rng.choice(100, 20, replace=False)
            images[part].append(pixels)
            labels[part].append(batch_labels)
            # A row is all red pixels line by line, then all green, then all blue.
            entry = {"batch_label": batch, "data": pixels.reshape(20, 3072), "filenames": ["x.png"] * 20}
            if name == "cifar10":
                entry["labels"] = batch_labels.tolist()
            else:
                entry |= {"fine_labels": batch_labels.tolist(), "coarse_labels": (batch_labels // 5).tolist()}
            members[batch] = pickle.dumps(entry, protocol=2)
    names = {dataset.meta["key"]: [f"class {k}" for k in range(10 if name == "cifar10" else 100)]}
    members[dataset.meta["filename"]] = pickle.dumps(names, protocol=2)
    sums = {file: hashlib.md5(content).hexdigest() for file, content in members.items()}
    with tarfile.open(root / dataset.filename, "w:gz") as archive:
        for file, content in members.items():
            info = tarfile.TarInfo(f"{dataset.base_folder}/{file}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    monkeypatch.setattr(dataset, "tgz_md5", md5(root / dataset.filename))
    for key in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, key, [[file, sums[file]] for file, _ in getattr(dataset, key)])
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"md5": sums[dataset.meta["filename"]]})
    arrays = {}
    for part in ("train", "test"):
        arrays |= {f"x_{part}": np.concatenate(images[part]), f"y_{part}": np.concatenate(labels[part])}
    return arrays


# ---- image files ----


def gradient(index: int, size: tuple[int, int] = (64, 64), grey: bool = False) -> np.ndarray:
    """Smooth image (height, width[, 3]) that JPEG keeps within a few steps; ``index`` sets its colours."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    ramps = (40 + 2 * x + index, 60 + 2 * y + index, np.full_like(x, (37 * index) % 256))
    image = np.stack(ramps, axis=-1).clip(0, 255).astype(np.uint8)
    return image[..., 0] if grey else image


def write_image(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


#: Neither in the order of their names nor alike in it, as in the official wnids.txt.
WNIDS = ("n02124075", "n04067472", "n01443537")
PER_CLASS, N_TEST = 12, 5
TINY = {"n_classes": len(WNIDS), "per_class": PER_CLASS, "n_test": N_TEST}
GREY_TRAIN, GREY_TEST = ("n04067472", 3), 2


def write_tiny_imagenet(root: Path) -> dict[str, np.ndarray]:
    """Small Tiny ImageNet under ``root``, two of its images grey-scale; its arrays before JPEG."""
    folder = root / "tiny-imagenet-200"
    jpeg = {"format": "JPEG", "quality": 95, "subsampling": 0}
    arrays = {"x_train": [], "y_train": [], "x_test": [], "y_test": []}
    for label, wnid in enumerate(sorted(WNIDS)):
        boxes = []
        # ImageFolder's order: that of names, in which 10 comes before 2.
        for k in sorted(range(PER_CLASS), key=str):
            grey = (wnid, k) == GREY_TRAIN
            image = gradient(20 * label + k, grey=grey)
            write_image(folder / "train" / wnid / "images" / f"{wnid}_{k}.JPEG", image, **jpeg)
            boxes.append(f"{wnid}_{k}.JPEG\t0\t0\t63\t63\n")
            arrays["x_train"].append(np.dstack([image] * 3) if grey else image)
            arrays["y_train"].append(label)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(boxes))
    annotations = []
    for k in range(N_TEST):
        grey = k == GREY_TEST
        wnid = WNIDS[(2 * k) % 3]
        image = gradient(90 + 10 * k, grey=grey)
        write_image(folder / "val" / "images" / f"val_{k}.JPEG", image, **jpeg)
        annotations.append(f"val_{k}.JPEG\t{wnid}\t0\t0\t63\t63\n")
        arrays["x_test"].append(np.dstack([image] * 3) if grey else image)
        arrays["y_test"].append(sorted(WNIDS).index(wnid))
    (folder / "val" / "val_annotations.txt").write_text("".join(annotations))
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))
    (folder / "words.txt").write_text("".join(f"{wnid}\ta thing\n" for wnid in sorted(WNIDS)))
    return {
        key: np.array(value) if key.startswith("y") else np.stack(value).transpose(0, 3, 1, 2)
        for key, value in arrays.items()
    }
