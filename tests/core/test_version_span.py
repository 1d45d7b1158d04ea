"""Every file that names the versions that jconvt supports agrees with ``pyproject.toml``."""

import importlib.metadata
import pathlib
import re
import sys
import tomllib

import jax
import jaxlib
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = pathlib.Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SPANS = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}
PYTHON = SpecifierSet(PROJECT["requires-python"])


def oldest(span):
    """The first version of a span. It has no last one: CI tests the newest release."""
    (bound,) = span
    assert bound.operator == ">="
    return bound.version


def test_versions__running_ones_are_supported():
    running = {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "numpy": np.__version__}
    assert running.keys() == SPANS.keys()
    for name, version in running.items():
        assert SPANS[name].contains(version, prereleases=True), f"{name} {version} is not {SPANS[name]}"
    assert PYTHON.contains(f"{sys.version_info.major}.{sys.version_info.minor}")


def test_versions__installed_metadata_agree():
    try:
        requires = importlib.metadata.requires("jconvt")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("jconvt is not installed: it is imported from a checkout")
    required = [each for each in map(Requirement, requires) if each.marker is None]
    assert {each.name: each.specifier for each in required} == SPANS


def test_versions__jax_and_jaxlib_are_equal():
    assert SPANS["jax"] == SPANS["jaxlib"]


@pytest.mark.parametrize("page", ["README.md", "docs/get_started.md"])
def test_versions__pages_agree(page):
    stated = re.findall(r"Python ([\d.]+) or newer, JAX ([\d.]+) or newer", (ROOT / page).read_text())
    assert stated == [(oldest(PYTHON), oldest(SPANS["jax"]))]


def test_versions__no_extra_states_its_own():
    for extra, requirements in PROJECT["optional-dependencies"].items():
        for each in map(Requirement, requirements):
            assert each.name not in SPANS or not each.specifier, f"{extra}: {each}"


def test_versions__tools_target_the_oldest_python():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["pyright"]["pythonVersion"] == oldest(PYTHON)
    assert Version(tools["ruff"]["target-version"].replace("py3", "3.")) == Version(oldest(PYTHON))
