"""The stage of the tests: pytest, with a plugin that keeps the record.

Tests run as they are on the default device. pytest needs no more plugins: the root's conftest.py, which needs Sybil for
the documentation, is not loaded, and warnings are not errors, since newer versions of JAX deprecate names.
"""

import collections
import pathlib
import shlex
import sys
import time
from collections.abc import Sequence

import pytest

from . import record
from .stage import Results, Stage

_PATHS = (
    *(f"core/test_{name}.py" for name in ("methods", "dtypes", "transformations", "primitives")),
    *("core", "layers", "conventions", "sharding", "compiled", "explain", "weights"),
)
"""The tests, the most telling first. Those of commands and of documents do not depend on the device."""
_QUICK_PATHS = ("core/test_spec.py", "compiled/test_tpu_compile.py")
_STATUSES = (
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.NO_TESTS_COLLECTED,
)


_OPTIONS = """
-q -p no:cacheprovider --import-mode=importlib --continue-on-collection-errors -m "not tpu_compile"
--confcutdir=tests -o addopts= -o filterwarnings=default --ignore=tests/conventions/test_live_tensorflow.py
"""
"""Options that replace those of pyproject.toml."""


def _process(name: str, path: pathlib.Path, seconds: float, quick: bool) -> list[str]:
    plugin = ["-p", __name__, f"--record={path}", f"--seconds={seconds}"]
    tests = [f"tests/{each}" for each in (_QUICK_PATHS if quick else _PATHS)]
    return [sys.executable, "-m", "pytest", *plugin, *shlex.split(_OPTIONS), *tests]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", type=pathlib.Path, required=True)
    parser.addoption("--seconds", type=float, required=True)


def pytest_configure(config: pytest.Config) -> None:
    options = config.option
    config.pluginmanager.register(_Recorder(options.record, options.seconds))


class _Recorder:
    """Skips the tests that the record has, adds the others to it, and ends the session when its time is over."""

    def __init__(self, path: pathlib.Path, seconds: float):
        self.path, self.deadline = path, time.monotonic() + seconds
        self.reports: list[pytest.TestReport] = []
        self.files: list[pytest.CollectReport] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:  # a whole file is skipped, or cannot be imported
            self.files.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        record.append(self.path, total=len(items) + len(self.files))
        for report in self.files:
            record.append(self.path, item=report.nodeid, result=_result(report))
        done = record.read(self.path).results
        items[:] = [item for item in items if item.nodeid not in done]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.reports = []
        record.append(self.path, trying=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        worst = min(self.reports, key=lambda report: ("failed", "skipped", "passed").index(report.outcome))
        record.append(self.path, item=nodeid, result=_result(worst))

    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        if time.monotonic() > self.deadline:
            item.session.shouldstop = "the time of this stage is over"


def _result(report: pytest.TestReport | pytest.CollectReport) -> dict[str, str]:
    """Return the outcome, and the reason unless the test passed."""
    if report.outcome == "passed":
        return {"outcome": "passed"}
    if isinstance(report.longrepr, tuple):
        detail = report.longrepr[2].removeprefix("Skipped: ")
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        detail = (crash.message if crash else report.longreprtext.strip().rpartition("\n")[2]).partition("\n")[0]
    return {"outcome": report.outcome, "detail": getattr(report, "wasxfail", detail)}


def _section(results: Results) -> Sequence[str]:
    counts = collections.Counter(result.get("outcome", "failed") for result in results.values())
    lines = [f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped."]
    skipped = collections.Counter(result["detail"] for result in results.values() if result.get("outcome") == "skipped")
    lines += ["", *(f"- Skipped ({count}): {reason}" for reason, count in skipped.most_common())]
    lines += [
        f"- Failed: `{test}`: {result['detail']}"
        for test, result in results.items()
        if result.get("outcome", "failed") == "failed"
    ]
    return lines


STAGE = Stage(
    "tests",
    "Tests that need no TensorFlow",
    2,
    _section,
    process=_process,
    statuses=_STATUSES,
    environment={"JAX_NUM_CPU_DEVICES": "8"},  # for the tests of sharding, which run on the CPU
)
