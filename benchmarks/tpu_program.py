"""A program compiled for a TPU without one, and the compiler's estimates of its cost.

libtpu compiles for v4, v5e, v5p and v6e on any x86-64 Linux machine, and reports for a program:

- ``cycles``: libtpu plans each operation's tiles with a model of the chip, and writes the cost of the plan into the
  program: ``estimated_cycles``. The figure is their sum over the program's operations, which a core runs one after the
  other. It includes tiles, their padding, changes of layout, and the zeros that a dilated convolution multiplies.
- ``flops``: multiplications and additions, without those with the zeros of padding and dilation.
- ``bytes``: the bytes that the operations read and write, on the chip too.
- ``temporary`` and ``peak``: the bytes of main memory without operands and results, and with them.

None is a measurement. Transfers that overlap computation are free in ``cycles``. So are operations without a cycle
estimate, such as reversals and reshapes that move data: ``unpriced`` counts them. The error of the estimate may be
larger than the difference between two methods.

The ``optimal_seconds`` of ``cost_analysis()`` are not used: they are a bound from peak rates, which ignores zeros and
tiles, counts data that a fusion keeps on the chip as traffic, and adds -1 second for a custom call.
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
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no chip is opened, so no lock is needed
    "TPU_SKIP_MDS_QUERY": "1",  # or libtpu asks a cloud's metadata server for the TPU; the next two name one
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
_OPERATION = r"^  (?:ROOT )?%?[\w.-]+ = (?:\([^\n]*?\)|\S+) ([a-z][a-z-]*)\((.*)$"
# Operations that take no time, or overlap the computation; the custom calls only name a part of an array.
_FREE = re.compile(r"parameter|constant|bitcast|tuple|get-tuple-element|custom-call|.*-(start|done)")


@dataclasses.dataclass(frozen=True)
class Figures:
    """The compiler's figures for a program; for one device's share if there are several."""

    cycles: int
    unpriced: dict[str, int]
    flops: float
    bytes: float
    temporary: int
    peak: int


def use_only_compiler() -> None:
    """Let libtpu compile without a TPU, and keep JAX from looking for one. Call it before JAX computes.

    Raises:
      ArgumentError: libtpu is not installed.
    """
    versions()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    jax.config.update("jax_platforms", "cpu")


def versions() -> dict[str, str]:
    """Return the versions that the figures depend on.

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
    """Return the descriptions of the chips of a topology such as ``"v5e:2x4"``."""
    return tuple(topologies.get_topology_desc(platform="tpu", topology_name=topology).devices)


def figures(compiled: Any) -> Figures:
    """Return the compiler's figures for a compiled program."""
    counted, memory = compiled.cost_analysis(), compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    temporary = memory.temp_size_in_bytes
    cycles, unpriced = price(compiled.as_text())
    return Figures(
        cycles, unpriced, counted.get("flops", 0.0), counted.get("bytes accessed", 0.0), temporary, held + temporary
    )


def price(text: str) -> tuple[int, dict[str, int]]:
    """Return the cycles of a compiled program, and the number of its operations without cycles, by name.

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
