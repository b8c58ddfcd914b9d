"""Packages whose names load on first use."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = ("figures", "geometry", "gradients", "probes", "published")
#: Modules of jobs that may find nothing to compute.
OF_JOBS = (
    "trained",
    "probes.blocks",
    "geometry.blocks",
    "gradients.blocks",
    "interventions.transfer",
    "interventions.rewind",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_found_listed_and_others_refused(package):
    module = importlib.import_module(f"latentgen.{package}")
    for name in module.__all__:
        assert getattr(module, name) is not None and name in dir(module)
    with pytest.raises(AttributeError, match=f"module 'latentgen.{package}' has no attribute 'MASK'"):
        module.MASK  # noqa: B018


def test_importing_them_imports_nothing_heavy():
    imports = "; ".join(f"import latentgen.{module}" for module in (*PACKAGES, *OF_JOBS))
    heavy = "{'torch', 'sklearn', 'scipy', 'numba', 'matplotlib', 'seaborn', 'pandas'}"
    subprocess.run([sys.executable, "-c", f"{imports}; import sys; assert not {heavy} & set(sys.modules)"], check=True)
