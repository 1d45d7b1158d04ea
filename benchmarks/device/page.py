"""The results of a run: ``device.md`` for a person, and ``device.json`` with every figure."""

import json
import pathlib
import re
from typing import Any

from jconvt._atomic_write import replacement

from . import record
from .stage import Stage
from .stages import STAGES


def write(folder: pathlib.Path, machine: dict[str, Any]) -> None:
    """Write both files from the records in ``folder``."""
    records = {name: record.read(path(folder, name)) for name in STAGES}
    content = {
        **machine,
        "finished": all(each.finished for each in records.values()),
        "stages": {
            name: {"total": each.total, "broken": each.broken, "results": each.results}
            for name, each in records.items()
        },
    }
    with replacement(folder / "device.json") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")
    with replacement(folder / "device.md") as file:
        file.write(page(content))


def path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of a stage's record."""
    return folder / f"{name}.jsonl"


def page(content: dict[str, Any]) -> str:
    """Return the page, from what ``device.json`` holds."""
    machine = content["machine"]
    lines = [f"# jconvt on {machine['device']}, {content['date'][:10]}", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += [
        "- versions: " + ", ".join(f"{name} {version}" for name, version in content["versions"].items()),
        f"- jconvt {content['jconvt']}, commit {content['commit']}",
        "",
    ]
    if not content["finished"]:
        lines += ["**Not finished.** Run the command again with the same folder: it goes on from here.", ""]
    sections = {name: _section(stage, content["stages"][name]) for name, stage in STAGES.items()}
    lines += [f"- **{STAGES[name].title}**: {section[0]}" for name, section in sections.items()]
    for name, section in sections.items():
        lines += ["", f"## {STAGES[name].title}", "", *section]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _section(stage: Stage, found: dict[str, Any]) -> list[str]:
    """Return a stage's lines, the first of which is a summary."""
    if found["broken"]:
        return [f"Did not run: {found['broken']}"]
    if not found["results"]:
        return ["Not started."]
    first, *rest = stage.section(found["results"])
    missing = found["total"] - len(found["results"])
    return [f"{first} **{missing} of {found['total']} are missing.**" if missing > 0 else first, *rest]
