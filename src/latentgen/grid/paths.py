"""Paths of a configuration: ``~`` and variables of the environment."""

import errno
import os
import re


def expanded(path: str) -> str:
    """``path`` with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` replaced; one without any of them as it is.

    A file or folder whose own name has a dollar sign is taken as it is where no variable goes by that name.

    Raises ``ValueError`` that names the variable which is not set, the user who is not known, or what makes it no path.
    """
    if path.startswith("~") and os.path.expanduser(path) == path:
        user = path.partition("/")[0]
        raise ValueError(f"{path!r} begins with {user}, whose home folder is not known; write the path out")
    found = os.path.expandvars(os.path.expanduser(path))
    unset = [name for name in re.findall(r"\$\{?(\w+)", path, flags=re.ASCII) if name not in os.environ]
    if unset and not os.path.exists(found):
        raise ValueError(f"{path!r} names the variable {unset[0]}, which is not set; set it, or write the path out")
    try:
        os.stat(found)
    except ValueError as error:
        raise ValueError(f"{path!r} is no path: {error}") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise ValueError(f"{path!r} is no path: {error.strerror}") from None
    return found
