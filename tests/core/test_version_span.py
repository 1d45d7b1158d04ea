"""The versions that jconvt supports are stated in ``pyproject.toml``, and all else that names them says the same."""

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
    """The version that a span begins with. It has no end: CI tries what is newest."""
    (bound,) = span
    assert bound.operator == ">="
    return bound.version


def test_what_runs_the_tests_is_within_the_span():
    running = {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "numpy": np.__version__}
    assert running.keys() == SPANS.keys()
    for name, version in running.items():
        assert SPANS[name].contains(version, prereleases=True), f"{name} {version} is not {SPANS[name]}"
    assert PYTHON.contains(f"{sys.version_info.major}.{sys.version_info.minor}")


def test_what_is_installed_asks_for_the_span():
    try:
        requires = importlib.metadata.requires("jconvt")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("jconvt is not installed: it is imported from a checkout")
    asked = [each for each in map(Requirement, requires) if each.marker is None]
    assert {each.name: each.specifier for each in asked} == SPANS


def test_jax_and_jaxlib_begin_together():
    assert SPANS["jax"] == SPANS["jaxlib"]


@pytest.mark.parametrize("page", ["README.md", "docs/get_started.md"])
def test_the_pages_say_the_same(page):
    said = re.findall(r"Python ([\d.]+) or newer, JAX ([\d.]+) or newer", (ROOT / page).read_text())
    assert said == [(oldest(PYTHON), oldest(SPANS["jax"]))]


def test_no_extra_states_another_span():
    for extra, requirements in PROJECT["optional-dependencies"].items():
        for each in map(Requirement, requirements):
            assert each.name not in SPANS or not each.specifier, f"{extra}: {each}"


def test_the_tools_are_set_to_the_oldest_python():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["pyright"]["pythonVersion"] == oldest(PYTHON)
    assert Version(tools["ruff"]["target-version"].replace("py3", "3.")) == Version(oldest(PYTHON))
