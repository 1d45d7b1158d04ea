"""The words of pages, in each language: a file ``words.LANGUAGE.json`` beside this one, with the same keys."""

import functools
import importlib.resources
import json
from typing import Any

from ..errors import ArgumentError

LANGUAGES = ("en", "zh")


def words(language: Any) -> dict[str, str]:
    """Return the words of a language, or raise an error if there are none."""
    if language not in LANGUAGES:
        legal = ", ".join(map(repr, LANGUAGES))
        got, fix = f"language = {language!r}", "leave it out for English"
        raise ArgumentError("pages do not have this language", got=got, legal=legal, fix=fix)
    return _read(language)


@functools.cache
def _read(language: str) -> dict[str, str]:
    file = importlib.resources.files("jconvt._explain").joinpath(f"words.{language}.json")
    return json.loads(file.read_text(encoding="utf-8"))
