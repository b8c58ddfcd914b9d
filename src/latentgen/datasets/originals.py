"""Original files under data_root: checked against known sums, and fetched whole or not at all."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPException
from pathlib import Path

from latentgen.datasets.base import DataError
from latentgen.files import temporary_folder
from latentgen.progress import log

#: SHA-256 of the files with an MD5, beside which other files can be made that share it.
SHA256 = {
    # MNIST, archives and unpacked
    "f68b3c2dcbeaaa9fbdd348bbdeb94873": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "d53e105ee54ea40749a09fcbcd1e9432": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "9fb629c4189551a2d022fa330f9573f3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "ec29112dd5afa0611ce80d1b7f02629c": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "6bbc9ace898e44ae57da46a324031adb": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "a25bea736e30d166cdddb491f175f624": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "2646ac647ad5339dbf082846283269ea": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "27ae3e4e09519cfbb04c329615203637": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    # Fashion-MNIST, archives
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "25c81989df183df01b3e8a0aad5dffbe": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "bef4ecab320f06d8554ea6380940ec79": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "bb300cfdad3c16e7a12a480ee83cd310": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    # CIFAR-10, archive and batches
    "c58f30108f718f92721af3b95e74349a": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "c99cafc152244af753f735de768cd75f": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
    "d4bba439e000b95fd0a9bffe97cbabec": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
    "54ebc095f3ab1f0389bbae665268c751": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
    "634d18415352ddfa80567beed471001a": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
    "482c414d41f54cd18b22e5b47cb7c3cb": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
    "40351d587109b95175f43aff81a1287e": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
    "5ff9c542aee3614f3951f8cda6e48888": "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb",
    # CIFAR-100, archive; of its batches no SHA-256 is known
    "eb9058c3a382ffc7106e4002c42a8d85": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    # Tiny ImageNet, archive
    "90528d7ca1a48142e341f4ef8d21d0de": "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
}


def check(folder: Path, sums: Mapping[str, str]) -> None:
    """Compare files in ``folder`` with their md5 in ``sums``, and with `SHA256`.

    Raises `DataError` that names the first damaged one.
    """
    for name, md5 in sums.items():
        if wrong := _differs(folder / name, md5):
            raise DataError(
                f"{folder / name} is damaged: its {wrong}. Delete it to have it downloaded again, "
                "or put an intact copy in its place."
            )


def fetch(name: str, root: Path, folder: Path, files: Iterable[str], into: Callable[[Path], None]) -> None:
    """Call ``into`` with a new folder beside the data, and move what it leaves there into ``root``.

    A download that breaks off therefore leaves nothing under ``root`` that could pass for a file of the data set.
    Raises `DataError` that names ``files`` and the ``folder`` where they belong.
    """
    log.info("downloading %s to %s", name, root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with temporary_folder(root, "download") as staging:
            into(staging)
            for entry in staging.iterdir():
                _move(entry, root / entry.name)
    # torchvision raises a bare RuntimeError where a sum is wrong.
    except (RuntimeError, OSError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name} is not under {folder} and cannot be downloaded ({reason}). "
            f"Put {', '.join(files)} there, or set data_root to a folder that has the data."
        ) from error


def download(urls: Iterable[str], folder: Path, name: str, md5: str) -> None:
    """Take the file ``name`` into ``folder`` from the first of ``urls`` that gives it with the right sums.

    Raises ``RuntimeError`` with what each of them gave instead.
    """
    # A transport without encryption, which torchvision falls back to, adds nothing that the sums would not show.
    from torchvision.datasets.utils import download_url

    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        try:
            download_url(url, str(folder), name, md5)
            wrong = _differs(folder / name, md5)
        except (RuntimeError, OSError, HTTPException) as error:
            wrong = str(error)
        if not wrong:
            return
        (folder / name).unlink(missing_ok=True)
        failures.append(f"{url}: {wrong}")
    raise RuntimeError("; ".join(failures))


def _differs(path: Path, md5: str) -> str | None:
    """``"md5 is not …"`` where the file has another, or is absent; the same for its SHA-256."""
    found = {"md5": hashlib.md5(usedforsecurity=False), "SHA-256": hashlib.sha256()}
    if path.is_file():
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                for sum_ in found.values():
                    sum_.update(part)
    for kind, known in (("md5", md5), ("SHA-256", SHA256.get(md5))):
        if known not in (None, found[kind].hexdigest()):
            return f"{kind} is not {known}"
    return None


def _move(source: Path, target: Path) -> None:
    """Rename, merging folders that exist on both sides."""
    if source.is_dir() and target.is_dir():
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    else:
        os.replace(source, target)
