"""The documentation lists exactly the public names, and its table of methods matches the registry."""

import importlib.util
import pathlib
import re

import pytest

from jconvt._methods import METHODS

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {page.name: page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
MAY_NAME_PRIVATE_MODULES = {"mutation_score.md", "extending.md", "contributing.md"}


@pytest.fixture
def public_names():
    """Load the module of the documentation's build."""
    spec = importlib.util.spec_from_file_location("public_names", ROOT / "docs" / "public_names.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_api_page__entries_are_exactly_the_public_names(public_names):
    pytest.importorskip("flax")
    pytest.importorskip("equinox")
    directives = re.findall(r"^\.\. auto(module|function|class|exception):: (\S+)$", PAGES["api.md"], re.MULTILINE)
    modules = {name for kind, name in directives if kind == "module"}
    entries = [name for kind, name in directives if kind != "module"]
    assert modules == {*public_names.public_modules()} - {"jconvt"}
    assert len(entries) == len({*entries})
    assert not public_names.private(entries)
    assert not {*public_names.undocumented(entries)} & {*public_names.public_names()}


def test_private__finds_what_is_not_public(public_names):
    public = {"jconvt", "jconvt.choose", "jconvt.weights", "jconvt.weights.read", "jconvt.Spec.axes", "numpy.ndarray"}
    private = {"jconvt._core", "jconvt._core.selection.choose", "jconvt.Spec._sizes", "jconvt.weights.matching.match"}
    assert public_names.private(public | private) == sorted(private)


@pytest.mark.parametrize("page", sorted(PAGES.keys() - MAY_NAME_PRIVATE_MODULES))
def test_pages__name_no_private_module(page):
    shown = re.sub(r"^```\{literalinclude\}.*$", "", PAGES[page], flags=re.MULTILINE)  # the methods' own code
    assert not re.findall(r"jconvt[./]_\w+", shown)


def test_readme__method_table_has_the_summaries():
    rows = re.findall(r'^\| `"(\w+)"` \| (.*) \|$', PAGES["README.md"], re.MULTILINE)
    assert rows == [(name, method.summary) for name, method in METHODS.items()]
