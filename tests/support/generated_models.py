"""Random small models: one in PyTorch, and the same in Linen, NNX or Equinox, with other paths and another order.

``generate(seed)`` draws the layers, the order of their calls, and the paths of each layer in both frameworks. A new
layer needs a line in ``UNITS`` and in each framework's ``*_layer``; a new way of naming needs a line in ``RENAMED``.
``JCONVT_MODELS=100`` tests 100 models in each test, and ``JCONVT_MODELS=500:20000`` those from the first to the last
seed.
"""

import dataclasses
import itertools
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

LENGTH = 5
LIBRARIES = ("linen", "nnx", "equinox")
Path = tuple[str, ...]
SHARED = ("again", "shared")  # the end of the second path of a shared layer


@dataclasses.dataclass(frozen=True)
class Unit:
    """A layer of one spatial axis. ``number`` tells layers with the same arguments apart.

    ``wrapper`` is "weight_norm" or "spectral_norm" where the kernel is computed, and ``slopes`` are PReLU's.
    """

    kind: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = True
    slopes: int = 1
    wrapper: str = ""
    number: int = 0

    @property
    def padding(self) -> int:
        """The padding that keeps the size, apart from the stride."""
        return ((self.kernel - 1) * self.dilation + 1 - self.stride) // 2


@dataclasses.dataclass(frozen=True)
class Residual:
    """The sum of a branch and of its input, or of a layer of it. The layer is called before the branch or after it."""

    branch: tuple[Unit, ...]
    shortcut: Unit | None = None
    is_shortcut_first: bool = False


UNITS = (
    ("conv", {"kernel": 3}),
    ("conv", {"kernel": 3, "dilation": 2}),
    ("conv", {"kernel": 3, "groups": 2, "bias": False}),
    ("conv", {"kernel": 3, "groups": 4}),
    ("conv", {"kernel": 1}),
    ("conv_transpose", {"kernel": 3}),
    ("conv_transpose", {"kernel": 3, "groups": 2, "bias": False}),
    ("conv_transpose", {"kernel": 4, "stride": 2}),
    ("dense", {}),
    ("batch_norm", {}),
    ("layer_norm", {}),
    ("prelu", {}),
)
"""Kinds and arguments. Most have the same shapes as others, so that only paths tell them apart."""


@dataclasses.dataclass(frozen=True)
class Generated:
    """A model's calls in order, and the paths of its layers.

    ``sources`` are PyTorch's paths in the order of registration; a shared layer may have two. ``others`` are paths of
    layers that the target does not have. ``must_load`` says whether equal paths decide.
    """

    framework: str
    steps: tuple[Unit | Residual, ...]
    sources: tuple[tuple[Path, Unit], ...]
    others: tuple[tuple[Path, Unit], ...]
    targets: Mapping[Unit, Path]
    must_load: bool

    @property
    def names(self) -> dict[str, str]:
        """The name map with all layers."""
        return {".".join(self.source_of[unit]): ".".join(path) for unit, path in self.targets.items()}

    @property
    def source_of(self) -> dict[Unit, Path]:
        """PyTorch's own path of each layer, which a shared layer has another of, too."""
        return {unit: path for path, unit in self.sources if path[-2:] != SHARED}

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds by PyTorch's paths that a state_dict may need: where a spectral norm fits two matrices."""
        paths = (*self.sources, *self.others)
        return {".".join(path): unit.kind for path, unit in paths if unit.wrapper == "spectral_norm"}

    def has(self, *values: object) -> bool:
        """Whether a layer's kind, wrapper or number of slopes is one of these."""
        return any({unit.kind, unit.wrapper, unit.slopes}.intersection(values) for unit in self.targets)

    def on(self, library: str) -> "Generated":
        """Return the model for another library, with PyTorch's paths as that library writes them."""
        targets = {unit: spelled(library, path) for unit, path in self.source_of.items()}
        return dataclasses.replace(self, framework=library, targets=targets)


def run(steps: Sequence[Unit | Residual], apply: Callable[[Unit, Any], Any], activate: Any, x: Any) -> Any:
    """Return the output of the model. ``apply`` calls one layer."""
    for step in steps:
        if isinstance(step, Unit):
            x = activate(apply(step, x))
            continue
        before = step.shortcut and step.is_shortcut_first and apply(step.shortcut, x)
        branch = run(step.branch, apply, activate, x)
        x = branch + (x if step.shortcut is None else before if step.is_shortcut_first else apply(step.shortcut, x))
    return x


def seeds(count: int) -> range:
    """Return the seeds of the models to test: ``count`` of them, if the environment does not say."""
    first, _, last = os.environ.get("JCONVT_MODELS", str(count)).rpartition(":")
    return range(int(first or 0), int(last))


def generate(seed: int, kinds: Sequence[tuple[str, dict[str, Any]]] = UNITS) -> Generated:
    """Return a random model, of layers of these kinds and arguments."""
    draw = random.Random(seed)
    library = draw.choice(LIBRARIES)
    units: list[Unit] = []
    steps = _steps(draw, units, library, kinds)
    calls = list(dict.fromkeys(_called(steps)))
    sources = _paths(draw, calls)
    way = draw.choice([*RENAMED, *(["automatic"] if library == "linen" else [])])
    renamed = _automatic(calls) if way == "automatic" else RENAMED[way](draw, sources)
    targets = {unit: path if way == "automatic" else spelled(library, path) for unit, path in renamed.items()}
    named = [(path, unit) for unit, path in sources.items()]
    if draw.random() < 0.2:  # a shared layer has a second path
        shared = draw.choice(calls)
        named.append((SHARED, shared))
    others: list[tuple[Path, Unit]] = []
    prefixes: list[Path] = [()]
    if draw.random() < 0.3:
        prefixes = draw.choice([[("generator",)], [("module",)], [("net", "g")], [("g",), ("ema",)]])
        others = [((*prefix, *path), unit) for prefix in prefixes[1:] for path, unit in named]
    elif draw.random() < 0.3:
        others = [(("spare", str(i)), unit) for i, unit in enumerate(draw.choices(calls, k=2))]
    named = [((*prefixes[0], *path), unit) for path, unit in named]
    draw.shuffle(named)
    must_load = way == "same" and len(prefixes) == 1
    return Generated(library, steps, tuple(named), tuple(others), targets, must_load)


def _steps(
    draw: random.Random, units: list[Unit], library: str, kinds: Sequence[tuple[str, dict[str, Any]]]
) -> tuple[Unit | Residual, ...]:
    wrappers = draw.choice(((), (), ("weight_norm",), ("weight_norm", "spectral_norm", "", "")))
    same_kind = draw.choice((None, draw.choice(kinds)))  # in many models all layers are the same

    def unit(is_shortcut: bool = False) -> Unit:
        kind, options = draw.choice(kinds) if same_kind is None or draw.random() < 0.2 else same_kind
        if options.get("stride", 1) > 1 and (is_shortcut or sum(each.stride > 1 for each in units) > 1):
            kind, options = kinds[0]
        if kind == "prelu" and library == "equinox":  # Flax has one slope for all channels
            options = {"slopes": draw.choice((1, 4))}
        if kind in ("conv", "conv_transpose", "dense") and wrappers:
            options = {**options, "wrapper": draw.choice(wrappers)}
        units.append(Unit(kind, 4, 4, **options, number=len(units)))
        return units[-1]

    steps: list[Unit | Residual] = []
    for _ in range(draw.randint(2, 4)):
        if draw.random() < 0.5:
            steps.append(unit())
            continue
        branch = tuple(unit(is_shortcut=True) for _ in range(draw.randint(1, 3)))
        steps.append(Residual(branch, draw.choice((None, unit(is_shortcut=True))), draw.random() < 0.5))
    if draw.random() < 0.2:  # a layer that is called twice
        steps.append(draw.choice([each for each in _called(tuple(steps)) if each.stride == 1] or [unit()]))
    return tuple(steps)


def _called(steps: Sequence[Unit | Residual]) -> list[Unit]:
    called: list[Unit] = []
    run(steps, lambda unit, x: called.append(unit) or x, lambda x: x, 0)
    return called


def _paths(draw: random.Random, calls: Sequence[Unit]) -> dict[Unit, Path]:
    """Return paths: attributes, members of lists, and members of sequences whose activations are numbered too."""
    prefix = draw.choice(((), (), ("decoder",)))
    way = draw.choice(("attributes", "lists", "sequence", "mixed"))
    counts = {"convs1": 0, "convs2": 0, "main": 0}
    found: dict[Unit, Path] = {}
    for i, unit in enumerate(calls):
        each = draw.choice(("attributes", "lists", "sequence")) if way == "mixed" else way
        if each == "attributes":
            found[unit] = (*prefix, f"layer{i + 1}")
            continue
        name = "main" if each == "sequence" else draw.choice(("convs1", "convs2"))
        found[unit] = (*prefix, name, str(counts[name]))
        counts[name] += 2 if each == "sequence" else 1
    return found


def _renumbered(draw: random.Random, paths: Mapping[Unit, Path]) -> dict[Unit, Path]:
    """Number the members of a sequence without activations, or attributes from another number."""
    shift = draw.choice((0, -1, 1))
    changed: dict[Unit, Path] = {}
    for unit, path in paths.items():
        if path[-1].isdecimal():
            number = int(path[-1])
            changed[unit] = (*path[:-1], str(number // 2 if path[-2] == "main" else number))
        else:
            changed[unit] = (*path[:-1], f"layer{int(path[-1].removeprefix('layer')) + shift}")
    return changed


def _partly_renamed(draw: random.Random, paths: Mapping[Unit, Path]) -> dict[Unit, Path]:
    """Give some layers new names, and the old names of these to others."""
    renamed = dict(paths)
    chain = draw.sample(list(paths), min(len(paths), draw.randint(1, 3)))
    for unit, following in itertools.pairwise(chain):
        renamed[unit] = paths[following]
    renamed[chain[-1]] = ("renamed", "one")
    return renamed


def _all_renamed(draw: random.Random, paths: Mapping[Unit, Path]) -> dict[Unit, Path]:
    return {unit: (draw.choice(("block", "stage")), f"part{i}") for i, unit in enumerate(paths)}


RENAMED: Mapping[str, Callable[[random.Random, Mapping[Unit, Path]], dict[Unit, Path]]] = {
    "same": lambda draw, paths: dict(paths),
    "renumbered": _renumbered,
    "partly renamed": _partly_renamed,
    "all renamed": _all_renamed,
}
"""The target's paths, by the source's."""


def _automatic(calls: Sequence[Unit]) -> dict[Unit, Path]:
    """Return Linen's own names, in the order of calls."""
    classes = {"conv": "Conv", "conv_transpose": "ConvTranspose", "dense": "Dense"}
    classes |= {"batch_norm": "BatchNorm", "layer_norm": "LayerNorm", "prelu": "PReLU"}
    counts: dict[str, int] = {}
    found = {}
    for unit in calls:
        name = classes[unit.kind]
        found[unit] = (f"{name}_{counts.get(name, 0)}",)
        counts[name] = counts.get(name, 0) + 1
    return found


def spelled(library: str, path: Path) -> Path:
    """Return a path as the library writes members of its lists and sequences."""
    if not path[-1].isdecimal():
        return path
    # One list has one spelling, so it follows from the name.
    is_sequence = (sum(map(ord, path[-2])) + len(path)) % 2
    if library == "linen":
        return (*path[:-1], f"layers_{path[-1]}") if is_sequence else (*path[:-2], f"{path[-2]}_{path[-1]}")
    return (*path[:-1], "layers", path[-1]) if is_sequence else path


def tree(paths: Mapping[Any, Path]) -> dict[str, Any]:
    """Return nested dictionaries of the layers."""
    root: dict[str, Any] = {}
    for each, path in paths.items():
        node = root
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = each
    return root


def get(node: Any, path: Path) -> Any:
    """Return the module of a path."""
    for part in path:
        node = node[int(part)] if isinstance(node, list) else getattr(node, part)
    return node


def example(seed: int) -> np.ndarray:
    """Return an input, ``(n, length, channels)``."""
    return np.random.default_rng(seed).normal(size=(2, LENGTH, 4)).astype(np.float32)
