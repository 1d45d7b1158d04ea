"""Runs every Python example of the pages as a test."""

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

collect_ignore = ["conf.py", "picture.py"]  # they need what only the documentation's build needs

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"]).pytest()
