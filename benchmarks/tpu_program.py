"""A program compiled for a TPU that is not there, and what the compiler says of it.

libtpu compiles for v4, v5e, v5p and v6e on any x86-64 Linux machine, and tells four things of a program:

- ``cycles``: it plans each operation's tiles by a model of the chip, and writes what the plan costs into the program:
  ``estimated_cycles``. The figure is the sum of these over the program's operations, which a core runs one after the
  other. It knows tiles, how they are filled up, changes of layout, and the zeros that a dilated convolution multiplies.
- ``flops``: multiplications and additions, those with the zeros of padding and dilation not counted.
- ``bytes``: what the operations read and write, also where it stays on the chip.
- ``temporary`` and ``peak``: the bytes of main memory besides operands and results, and with them.

None is a measurement. Transfers that run beside the computation are free in ``cycles``. So are operations that the
compiler writes no cycles on, such as reversals and reshapes that move data: ``unpriced`` counts them. The estimate may
be further off than two methods are apart.

The ``optimal_seconds`` of ``cost_analysis()`` are not used: they are a bound from peak rates, which counts no work on
zeros and no tiles, counts as traffic what a fusion keeps on the chip, and adds -1 second for a custom call.
"""

import collections
import dataclasses
import functools
import importlib.metadata
import os
import re
from typing import Any

import jax
from jax.experimental import topologies

import jconvt
from jconvt.errors import ArgumentError

TOPOLOGIES = {"v4": "v4:2x2x1", "v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
"""The smallest part of a pod of each generation: four chips."""

_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no chip is opened, so none has to be locked
    "TPU_SKIP_MDS_QUERY": "1",  # or libtpu asks a cloud's metadata server which TPU there is; these two say it instead
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
_OPERATION = r"^  (?:ROOT )?%?[\w.-]+ = (?:\([^\n]*?\)|\S+) ([a-z][a-z-]*)\((.*)$"
# What takes no time, or runs beside the computation; the custom calls are there to name a part of an array.
_FREE = re.compile(r"parameter|constant|bitcast|tuple|get-tuple-element|custom-call|.*-(start|done)")


@dataclasses.dataclass(frozen=True)
class Figures:
    """What the compiler says of a program: of one device's share, where there are several."""

    cycles: int
    unpriced: dict[str, int]
    flops: float
    bytes: float
    temporary: int
    peak: int


def use_compiler_alone() -> None:
    """Has libtpu compile for a TPU that is not there, and JAX look for none. To be called before JAX computes.

    Raises:
      ArgumentError: libtpu is not installed.
    """
    versions()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    jax.config.update("jax_platforms", "cpu")


def versions() -> dict[str, str]:
    """Of what decides which figures there are.

    Raises:
      ArgumentError: libtpu is not installed.
    """
    try:
        libtpu = importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        raise ArgumentError(
            "the TPU compiler is not installed",
            got=f"JAX {jax.__version__} without libtpu",
            legal="the libtpu that this JAX is released with: it runs on x86-64 Linux, and needs no TPU",
            fix=f"pip install 'jax[tpu]=={jax.__version__}'",
        ) from None
    return {"jconvt": jconvt.__version__, "jax": jax.__version__, "libtpu": libtpu}


@functools.cache
def devices(topology: str) -> tuple[Any, ...]:
    """The chips of a topology such as ``"v5e:2x4"``: described, not there."""
    return tuple(topologies.get_topology_desc(platform="tpu", topology_name=topology).devices)


def figures(compiled: Any) -> Figures:
    """What the compiler says of a program that it made."""
    counted, memory = compiled.cost_analysis(), compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    temporary = memory.temp_size_in_bytes
    cycles, unpriced = price(compiled.as_text())
    return Figures(
        cycles, unpriced, counted.get("flops", 0.0), counted.get("bytes accessed", 0.0), temporary, held + temporary
    )


def price(text: str) -> tuple[int, dict[str, int]]:
    """The cycles of a compiled program, and how many operations it has without, by their names.

    >>> price('''
    ... ENTRY %main (a: f32[9]) -> f32[9] {
    ...   %a = f32[9]{0:T(128)} parameter(0)
    ...   %b = f32[9]{0:T(128)} reverse(%a), dimensions={0}
    ...   ROOT %c = f32[9]{0:T(128)} copy(%b), backend_config={"window_config":{"estimated_cycles":"70"}}
    ... }''')
    (70, {'reverse': 1})
    """
    entry = re.search(r"^ENTRY [^\n]*\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert entry is not None  # every program has one
    cycles, unpriced = 0, collections.Counter[str]()
    for operation, rest in re.findall(_OPERATION, entry[1], re.MULTILINE):
        priced = re.search(r'"estimated_cycles":"(\d+)"', rest)
        if priced:
            cycles += int(priced[1])
        elif not _FREE.fullmatch(operation):
            unpriced[operation] += 1
    return cycles, dict(unpriced)
