"""``python -m benchmarks device``: the stages, each in a process of its own, with a progress bar."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ..compare import folder
from . import page, record
from .stage import Stage
from .stages import STAGES

_OUTPUT = pathlib.Path("build", "device")
_ROOT = pathlib.Path(__file__).parents[2]
_ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
_LEAST_SECONDS = 5.0
"""A stage is not started with less time."""
_GRACE = 0.25
"""An item may take this much of its stage's time longer."""
_HANGS = 60.0
"""An item that is stopped after this many seconds is not tried again."""
_SAME = ("jconvt", "commit", "machine", "versions", "quick")
"""A later run into a folder needs the same ones of these."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--minutes", type=_minutes, default=9.0, help="the time for all stages; 9 by default")
    parser.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, default=_OUTPUT, help=f"write to DIR instead of {_OUTPUT}"
    )
    parser.add_argument("--quick", action="store_true", help="a few small items of each stage, to try the command")


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes from 0 on")
    return value


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Run the stages until all are finished or the time is over, and write the page."""
    deadline = time.monotonic() + 60 * arguments.minutes
    output = folder(arguments.output).resolve()
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        machine = _machine(output, arguments.quick)
        for name, found in _records(output).items():
            if found.broken:  # it may be repaired
                record.append(page.path(output, name), broken=None)
        page.write(output, machine)
        try:
            _run_all(output, arguments.quick, deadline, console, lambda: page.write(output, machine))
        except KeyboardInterrupt:
            console.print("Interrupted. The same command goes on from here.")
            return 130
        finally:
            page.write(output, machine)
    finally:
        signal.signal(signal.SIGTERM, previous)
    for name, stage in STAGES.items():
        found = record.read(page.path(output, name))
        count = f"did not run: {found.broken}" if found.broken else f"{len(found.results)} of {found.total or '?'}"
        console.print(Text(f"{stage.title}: {count}"))
    console.print(Text(f"Written: {output / 'device.md'}, device.json and the records of the stages"), soft_wrap=True)
    return 0 if all(record.read(page.path(output, name)).finished for name in STAGES) else 3


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _machine(output: pathlib.Path, quick: bool) -> dict[str, Any]:
    """Describe this machine. End the program if the folder holds other results."""
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.machine"], cwd=_ROOT, env=_environment(), capture_output=True, text=True
    )
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["no reason"])[-1]
        print(f"benchmarks: JAX finds no device: {reason}", file=sys.stderr)
        raise SystemExit(2)
    machine = json.loads(found.stdout.splitlines()[-1]) | {"quick": quick}
    path = output / "device.json"
    if path.exists():
        before = json.loads(path.read_text())
        for name in _SAME:
            if before[name] != machine[name]:
                text = f"benchmarks: {output} holds results with {name} {before[name]}, not {machine[name]}"
                print(f"{text}; choose another --output", file=sys.stderr)
                raise SystemExit(2)
        machine["date"] = before["date"]
    return machine


def _environment() -> dict[str, str]:
    return _ENVIRONMENT | os.environ


def _run_all(
    output: pathlib.Path, quick: bool, deadline: float, console: Console, write_page: Callable[[], None]
) -> None:
    """Run the unfinished stages, each for its share of the time that is left, as long as this makes progress."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]} left"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=deadline - time.monotonic(), left="")

        def show(text: str) -> None:
            left = max(0, deadline - time.monotonic())
            total = progress.tasks[0].total or 0
            clock = f"{int(left) // 60}:{int(left) % 60:02}"
            progress.update(task, completed=total - left, left=clock, description=text)

        results = -1
        while results < (results := sum(len(found.results) for found in _records(output).values())):
            unfinished = [STAGES[name] for name, found in _records(output).items() if not found.finished]
            while unfinished and deadline - time.monotonic() > _LEAST_SECONDS:
                share = unfinished[0].share / sum(stage.share for stage in unfinished)
                end = time.monotonic() + share * (deadline - time.monotonic())
                _run(unfinished.pop(0), output, quick, end, deadline, show)
                write_page()


def _records(output: pathlib.Path) -> dict[str, record.Record]:
    return {name: record.read(page.path(output, name)) for name in STAGES}


def _run(
    stage: Stage, output: pathlib.Path, quick: bool, end: float, deadline: float, show: Callable[[str], None]
) -> None:
    """Run a stage until ``end``. A process that crashes costs its item, and another one goes on after it."""
    path, log = page.path(output, stage.name), output / f"{stage.name}.log"
    while not record.read(path).finished and (seconds := end - time.monotonic()) > 0:
        last = min(deadline, end + _GRACE * seconds)
        started, item = time.monotonic(), None
        arguments = stage.process(stage.name, path, seconds, quick)
        with log.open("ab") as file, _process(arguments, stage.environment, file) as process:
            while process.poll() is None and time.monotonic() < last:
                found = record.read(path)
                if found.trying != item:
                    started, item = time.monotonic(), found.trying
                show(f"{stage.title}: {len(found.results)} of {found.total or '?'}")
                time.sleep(0.2)
            status = process.poll()
        found = record.read(path)
        if status is None:
            if found.trying is not None and (took := time.monotonic() - started) >= _HANGS:
                detail = f"stopped after {took:.0f} seconds"
                record.append(path, item=found.trying, result={"status": "crashed", "detail": detail})
        elif found.trying is not None and status not in stage.statuses:
            detail = f"ended the process with status {status}: {_last_line(log)}"
            record.append(path, item=found.trying, result={"status": "crashed", "detail": detail})
            continue
        elif status not in stage.statuses:
            record.append(path, broken=f"status {status}: {_last_line(log)}")
        return


@contextlib.contextmanager
def _process(command: list[str], environment: Mapping[str, str], log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that an interrupt of this one does not reach, and end it and its children afterwards."""
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env=_environment() | {**environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(log: pathlib.Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
