"""Change the source in small ways, and count the changes that the tests notice: ``python -m tests.support.mutate``.

Each mutant is one change of one expression: + for -, <= for <, a constant plus one, and so on. It is tested in a
temporary copy of the tree with the quick tests of its file. Results are kept in ``build/mutants.jsonl``, so that a run
that is stopped, or that reaches ``--minutes``, continues where it was; a mutant of a line that has changed is tested
again. ``docs/mutation_score.md`` is written at the end. A full run takes hours on two cores, so it is not part of CI.
"""

import argparse
import ast
import compileall
import concurrent.futures
import copy
import dataclasses
import itertools
import json
import os
import pathlib
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
STORED, PAGE = ROOT / "build" / "mutants.jsonl", ROOT / "docs" / "mutation_score.md"
COPIED = ("jconvt", "tests", "benchmarks", "docs", "examples", "conftest.py", "pyproject.toml", "README.md")

GEOMETRY = ("tests/core/test_spec.py", "tests/conventions/test_bad_input.py")
POLYPHASE = ("-k", "polyphase or gemm or matmul or spmd")
TESTS: dict[str, tuple[str, ...]] = {
    "jconvt/_geometry/arguments.py": (*GEOMETRY, "tests/conventions/test_onnx.py"),
    "jconvt/_geometry/axis.py": GEOMETRY,
    "jconvt/_geometry/kernel_layout.py": ("tests/conventions/test_lax.py", "tests/conventions/test_translation.py"),
    "jconvt/_geometry/layout.py": (*GEOMETRY, "tests/core/test_primitives.py"),
    "jconvt/_geometry/spec.py": GEOMETRY,
    "jconvt/_conventions/tensorflow.py": (*GEOMETRY, "tests/conventions/test_translation.py"),
    "jconvt/_conventions/keras.py": ("tests/conventions/test_keras.py",),
    "jconvt/_conventions/lax.py": ("tests/conventions/test_lax.py",),
    "jconvt/_conventions/onnx.py": ("tests/conventions/test_onnx.py", "tests/conventions/test_translation.py"),
    "jconvt/_conventions/torch.py": ("tests/conventions/test_torch.py",),
    "jconvt/_conventions/flax.py": ("tests/conventions/test_flax.py", "tests/layers/test_flax.py"),
    "jconvt/_conventions/equinox.py": ("tests/layers/test_equinox.py",),
    "jconvt/_methods/_phases.py": ("tests/core/test_methods.py", "tests/core/test_primitives.py", *POLYPHASE),
    "jconvt/_core/halo.py": ("tests/sharding/test_sharding.py",),
}
"""The tests of each file, the quickest first."""

EQUIVALENT: dict[tuple[str, str], str] = {
    ("jconvt/_geometry/arguments.py", "_TYPICAL = 32 -> _TYPICAL = 31"): (
        "it replaces a symbolic size only where costs are compared"
    ),
    (
        "jconvt/_geometry/kernel_layout.py",
        "return ((*kernel, groups, out // groups, in_channels), (*kernel, out  -> "
        "return ((*kernel, groups, -(-out // groups), in_channels), (*kernel, out ",
    ): "the groups divide the channels",
    (
        "jconvt/_methods/_phases.py",
        "s = len(phase_groups(moved)) < len(phase_groups(axis)) -> "
        "s = len(phase_groups(moved)) <= len(phase_groups(axis))",
    ): "where both alignments need as many phase groups, both give the result",
    (
        "jconvt/_geometry/kernel_layout.py",
        "if self.output_groups > 1: pass -> if self.output_groups >= 1: pass",
    ): "one group is regrouped to itself",
    (
        "jconvt/_geometry/kernel_layout.py",
        "ters if self.output_groups == 1 else _regrouped(filters, self -> "
        "ters if self.output_groups == 0 else _regrouped(filters, self",
    ): "one group is regrouped to itself",
    (
        "jconvt/_geometry/spec.py",
        "e and all((type(n) is int and 0 <= n <= LARGEST for n in size -> "
        "e and all((type(n) is int and 1 <= n <= LARGEST for n in size",
    ): "a size of 0 is checked the slow way, with the same result",
    (
        "jconvt/_geometry/spec.py",
        " for column in range(len(rows[0]))] ->  for column in range(len(rows[-1]))]",
    ): "all rows have the same length",
    (
        "jconvt/_conventions/tensorflow.py",
        "eger(groups, 'groups', lowest=1) -> eger(groups, 'groups', lowest=0)",
    ): "check_groups rejects 0 with the same message",
}
"""Mutants that change no result, by file and change, with the reason. They do not count."""

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
ERRORS = ("ArgumentError", "ArgumentTypeError")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of one expression: its line, the expression before and after, and the whole file after."""

    file: str
    line: int
    change: str
    source: str = dataclasses.field(repr=False)

    @property
    def key(self) -> str:
        return f"{self.file}: {self.change}"


def mutants(file: str) -> list[Mutant]:
    """Every mutant of a file. Error texts, annotations, decorators and ``strict=`` stay as they are."""
    source = (ROOT / file).read_text()
    found: dict[str, Mutant] = {}
    for number, (node, _) in enumerate(_expressions(ast.parse(source))):
        for choice, _ in enumerate(_changed(node)):
            tree = ast.parse(source)
            target, statement = [*_expressions(tree)][number]
            before = _header(statement)
            _replace(tree, target, [*_changed(target)][choice])
            change = _difference(before, _header(statement))
            while change in found:  # the same change in another place
                change += "'"
            found[change] = Mutant(file, node.lineno, change, ast.unparse(tree))
    return [*found.values()]


def _header(statement: ast.stmt) -> str:
    """A statement without the statements inside it, on one line."""
    copied = copy.copy(statement)
    for name in ("body", "orelse", "finalbody", "handlers"):
        if isinstance(getattr(copied, name, None), list):
            setattr(copied, name, [ast.Pass()] if name == "body" else [])
    return " ".join(ast.unparse(copied).split())


def _difference(before: str, after: str, around: int = 30) -> str:
    """The parts in which two texts differ, with some characters around them."""

    def shared(one: str, other: str) -> int:
        pairs = zip(one, other, strict=False)
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))

    start = shared(before, after)
    end = min(shared(before[::-1], after[::-1]), len(before) - start, len(after) - start)
    first = max(start - around, 0)
    return " -> ".join(text[first : len(text) - end + around] for text in (before, after))


def _expressions(tree: ast.AST, statement: ast.stmt | None = None) -> Iterator[tuple[ast.expr, ast.stmt]]:
    """Every expression that may be changed, with the statement that it is part of."""
    for name, field in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for node in field if isinstance(field, list) else [field]:
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr | ast.Raise):
                continue
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                continue
            if isinstance(node, ast.keyword) and node.arg == "strict":
                continue
            if isinstance(node, ast.expr) and statement is not None:
                yield node, statement
            yield from _expressions(node, node if isinstance(node, ast.stmt) else statement)


def _changed(node: ast.expr) -> Iterator[ast.expr]:
    """The expressions that may replace ``node``."""
    new = copy.deepcopy(node)
    match new:
        case ast.BinOp(op=ast.FloorDiv()):
            ceiling = ast.BinOp(ast.UnaryOp(ast.USub(), new.left), ast.FloorDiv(), new.right)
            yield ast.UnaryOp(ast.USub(), ceiling)
        case ast.BinOp() | ast.BoolOp() if type(new.op) in SWAPPED:
            new.op = SWAPPED[type(new.op)]()  # type: ignore[assignment]
            yield new
        case ast.Compare() if len(new.ops) == 1 and type(new.ops[0]) in SWAPPED:
            new.ops[0] = SWAPPED[type(new.ops[0])]()  # type: ignore[call-overload]
            yield new
        case ast.Constant() if type(new.value) is int:
            yield ast.Constant(new.value + 1)
            yield ast.Constant(new.value - 1)
        case ast.Constant() if type(new.value) is bool:
            yield ast.Constant(not new.value)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield new.operand
        case ast.IfExp():
            new.body, new.orelse = new.orelse, new.body
            yield new
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            new.func.id = NAMES[name]  # type: ignore[attr-defined]
            yield new


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    ast.copy_location(new, old)
    for parent in ast.walk(tree):
        for name, field in ast.iter_fields(parent):
            if field is old:
                setattr(parent, name, new)
            elif isinstance(field, list) and any(each is old for each in field):
                field[:] = [new if each is old else each for each in field]
    ast.fix_missing_locations(tree)


def copied(folder: pathlib.Path) -> pathlib.Path:
    """A copy of the tree in which all modules are compiled."""
    for name in COPIED:
        path = ROOT / name
        ignored = shutil.ignore_patterns("_build", "__pycache__")
        shutil.copytree(path, folder / name, ignore=ignored) if path.is_dir() else shutil.copy(path, folder / name)
    compileall.compile_dir(folder / "jconvt", quiet=1)
    return folder


def passes(tree: pathlib.Path, file: str, source: str, cache: pathlib.Path, limit: float) -> bool:
    """Whether the tests of ``file`` pass with this source, within ``limit`` seconds."""
    path = tree / file
    original = path.read_text()
    # A .pyc file is valid by the size and the second of its source, which two mutants can share.
    (compiled,) = (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")
    compiled.unlink()
    path.write_text(source)
    environment = os.environ | dict(  # the same draws each time, so that programs that did not change are compiled once
        PYTHONDONTWRITEBYTECODE="1",
        JAX_COMPILATION_CACHE_DIR=str(cache),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-seed=0",
        *TESTS[file],
    ]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(original)
        compileall.compile_file(path, quiet=1, force=True)
    if done.returncode not in (0, 1, 2, 4):  # 4: pytest cannot import what it should collect
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 0


def stored() -> dict[str, dict]:
    """The results so far, by mutant."""
    lines = STORED.read_text().splitlines() if STORED.exists() else []
    return {each["key"]: each for each in map(json.loads, lines)}


def page(chosen: dict[str, list[Mutant]], totals: dict[str, int], results: dict[str, dict], seed: int) -> str:
    """``docs/mutation_score.md``."""
    rows, survivors, killed_in_all, counted_in_all = [], [], 0, 0
    for file, each in chosen.items():
        tested = [mutant for mutant in each if mutant.key in results]
        counted = [mutant for mutant in tested if (file, mutant.change) not in EQUIVALENT]
        alive = [mutant for mutant in counted if not results[mutant.key]["killed"]]
        killed_in_all, counted_in_all = killed_in_all + len(counted) - len(alive), counted_in_all + len(counted)
        score = f"{100 * (1 - len(alive) / len(counted)):.0f} %" if counted else ""
        numbers = (totals[file], len(tested), len(tested) - len(counted), len(alive), score)
        rows.append(f"| `{file}` | {' | '.join(map(str, numbers))} |")
        survivors += [f"- `{file}:{mutant.line}`: `{mutant.change}`" for mutant in alive]
    reasons = [f"- `{file}`: `{change}`: {reason}" for (file, change), reason in EQUIVALENT.items()]
    score = 100 * killed_in_all / max(counted_in_all, 1)
    head = f"""---
orphan: true
---

# Mutation score

The tests notice {killed_in_all} of {counted_in_all} small changes of the source, {score:.0f} %. A mutant changes one
expression: `+` for `-`, `<=` for `<`, a constant plus or minus one, `min` for `max`, `//` rounded up, a condition
negated. The tests of its file, listed in `tests/support/mutate.py`, run on it, and it is killed if one fails. Mutants
are drawn at random from all of a file's, with seed {seed}. Equivalent ones, which change no result, do not count. This
page is written by `python -m tests.support.mutate`, which is run by hand. Where tests were added for survivors of a
seed, its score is biased upward: another seed gives a fairer one.

| file | mutants | tested | equivalent | survived | killed |
| --- | --: | --: | --: | --: | --: |
"""
    text = head + "\n".join(rows) + "\n"
    text += "\n## Survivors\n\n" + ("\n".join(survivors) or "None.") + "\n"
    return text + ("\n## Equivalent mutants\n\n" + "\n".join(reasons) + "\n" if reasons else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"some of {', '.join(TESTS)}; all by default")
    parser.add_argument("--count", type=int, default=25, help="mutants of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600, help="start no mutant later, after one run of the tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    files = options.files or [file for file in TESTS if (ROOT / file).exists()]
    chosen, totals = {}, {}
    for file in files:
        every = mutants(file)
        random.Random(f"{options.seed} {file}").shuffle(every)
        chosen[file], totals[file] = every[: options.count], len(every)
    results = stored()
    # One mutant of each file at a time: a run that is stopped has tested as many of each.
    todo = [file[n] for n in range(options.count) for file in chosen.values() if n < len(file)]
    todo = [mutant for mutant in todo if mutant.key not in results]
    STORED.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root, trees = pathlib.Path(folder), queue.Queue()
        for number in range(options.jobs):
            trees.put(copied(root / str(number)))
        limits = {}
        for file in {mutant.file: None for mutant in todo}:  # the first run fills the cache of compiled programs
            start, tree = time.monotonic(), trees.get()
            if not passes(tree, file, (ROOT / file).read_text(), root / "cache", 1200):
                parser.error(f"the tests of {file} fail without a mutant")
            trees.put(tree)
            limits[file] = 60 + 3 * (time.monotonic() - start)

        end = time.monotonic() + 60 * options.minutes

        def test(mutant: Mutant) -> None:
            if time.monotonic() > end:
                return
            tree, start = trees.get(), time.monotonic()
            killed = not passes(tree, mutant.file, mutant.source, root / "cache", limits[mutant.file])
            trees.put(tree)
            result = dict(key=mutant.key, killed=killed, seconds=round(time.monotonic() - start, 1))
            results[mutant.key] = result
            with STORED.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print("killed  " if killed else "SURVIVED", result["seconds"], mutant.key, flush=True)

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for _ in pool.map(test, todo):
                pass
    PAGE.write_text(page(chosen, totals, results, options.seed))
    print(PAGE.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
