"""Maps the top-level folder kernels/ to the package minifcn.kernels; everything else is in pyproject.toml.

Each child package is named here by hand on purpose: automatic discovery would install a stray top-level
package called `kernels`, and a forgotten child works in a checkout but is missing from the wheel.
"""

from setuptools import find_packages, setup

KERNELS = ["minifcn.kernels"] + [f"minifcn.kernels.{folder}" for folder in ("reference", "array", "cpu", "cuda")]

setup(
    packages=find_packages(include=["minifcn", "minifcn.*"]) + KERNELS,
    package_dir={"minifcn.kernels": "kernels"},
    package_data={"minifcn": ["py.typed"], "minifcn.kernels.cuda": ["*.cu", "*.h", "*.cpp"]},
)
