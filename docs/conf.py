"""Configure Sphinx: ``sphinx-build -W --keep-going -n -b html docs docs/_build/html``."""

import pathlib
import sys
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import jconvt
from jconvt._testing import example

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import dead_links  # in the folder of this file
import public_names

project = "jconvt"
author = "The jconvt authors"
copyright = author
version = release = jconvt.__version__

extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # a cache does not notice changes of the package
nb_execution_raise_on_error = False  # a warning also fails the strict build, and shows the error
nb_execution_timeout = 120
nb_execution_show_tb = True
nb_merge_streams = True

html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the sidebar has the search field
}
html_title = f"jconvt {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings describe the types
add_module_names = False

INTERACTIVE = {"en": "why_67_interactive.html", "zh": "why_67_interactive.zh.html"}
"""The interactive page that ``why_67.md`` embeds, and that of its translation."""


def check_public_names(app: Sphinx, env: Any) -> None:
    objects = env.get_domain("py").get_objects()
    entries = [
        name for name, *_, priority in objects if priority != -1
    ]  # -1: an alias, the name of the defining module
    for name in public_names.undocumented(entries):
        logging.getLogger(__name__).warning("public, but has no entry: %s", name, type="jconvt", subtype="undocumented")
    for name in public_names.private(entries):
        logging.getLogger(__name__).warning("not public, but has an entry: %s", name, type="jconvt", subtype="private")


def write_interactive_page(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        explanation = jconvt.explain(example.INPUT, example.FILTERS, **example.ARGUMENTS)
        for language, name in INTERACTIVE.items():
            explanation.save(pathlib.Path(app.outdir) / "_static" / name, cell=(0, 0), language=language)


def check_links(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        for link in dead_links.dead_links(pathlib.Path(app.outdir)):
            logging.getLogger(__name__).warning("leads nowhere: %s", link, type="jconvt", subtype="dead")


def set_language(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if page.endswith(".zh"):
        context["language"] = "zh-CN"


def setup(app: Sphinx) -> None:
    app.connect("env-check-consistency", check_public_names)
    app.connect("html-page-context", set_language)
    app.connect("build-finished", write_interactive_page)
    app.connect("build-finished", check_links)
