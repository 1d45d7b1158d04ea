"""The code in the README and in the documentation is run as tests."""

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

collect_ignore = ["docs/conf.py", "docs/picture.py"]  # they need what only the documentation's build needs

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md"]).pytest()


@pytest.hookimpl(tryfirst=True)  # before the distributor reads the groups
def pytest_collection_modifyitems(items):
    """Keeps a page's examples in one process, as each goes on where the one before it ended."""
    for item in items:
        if item.path.suffix == ".md":
            item.add_marker(pytest.mark.xdist_group(item.path.name))
