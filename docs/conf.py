"""How Sphinx builds the pages: ``sphinx-build -W --keep-going -n -b html docs docs/_build/html``."""

import jconvt

project = "jconvt"
author = "The jconvt authors"
copyright = author
version = release = jconvt.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"jconvt {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more than "Any" does
add_module_names = False
