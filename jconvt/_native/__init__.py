"""The compiled CPU kernels: find their library, load it once, and register it with JAX.

    loaded_library()    the library, loaded, or None
    native_status()     the instruction set, or the reason, in one object to print
    scratch_bytes()     the temporary memory of a call
    TARGETS             the name of each map's custom call, for ``jax.ffi.ffi_call``

The first call of one of these functions loads the library. Importing this module does not.
"""

import ctypes
import dataclasses
import functools
import os
import pathlib
import struct
import sys
import threading
import warnings
from collections.abc import Sequence

import jax

from .._geometry.maps import Map
from ..errors import ArgumentError

ABI = 4
"""The version of the interface between Python and the library, which ``jconvt_abi`` in ``ffi.cc`` returns, too."""

_HANDLERS = {  # in the order of Map in problem.h
    Map.TRANSPOSE: "jconvt_transpose",
    Map.FORWARD: "jconvt_forward",
    Map.KERNEL_GRADIENT: "jconvt_kernel_gradient",
}
# Programs in the persistent compilation cache call these names, so they change when the interface does.
TARGETS = {map: f"{handler}_{ABI}" for map, handler in _HANDLERS.items()}

_COMPILERS = {
    "linux": "apt-get install g++",
    "darwin": "xcode-select --install",
    "win32": "set CMAKE_GENERATOR_TOOLSET=ClangCL",
}
_INSTALL = "pip install --force-reinstall --no-deps ."
_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class NativeStatus:
    """Whether the compiled CPU kernels are in use. ``print`` it for a sentence.

    Attributes:
      instruction_set: what they compute with: ``"avx512_bf16"``, ``"avx512"``, ``"avx2"`` or ``"baseline"``. ``None``
        if they are not in use.
      reason: why they are not in use, or ``None``.
      fix: what to do to use them, or ``None``.
    """

    instruction_set: str | None
    reason: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        if self.instruction_set is not None:
            return f"The compiled CPU kernels are in use: instruction set {self.instruction_set}"
        return f"The compiled CPU kernels are not in use: {self.reason}\n  fix: {self.fix}"


def loaded_library() -> ctypes.CDLL | None:
    """Return the library with its custom calls registered, or ``None``. Raises what ``native_status`` raises."""
    return _loaded()[0]


def native_status() -> NativeStatus:
    """Return whether the compiled CPU kernels are in use. If not: why, and what to do.

    The first call loads them, and reads two environment variables: ``JCONVT_NATIVE=0`` switches the kernels off, and
    ``JCONVT_NATIVE_ISA=avx512``, ``avx2`` or ``baseline`` selects a lower instruction set than the CPU's best.

    Raises:
      ArgumentError: an environment variable has another value, or selects an instruction set that the CPU lacks.

    >>> import jconvt
    >>> status = jconvt.native_status()
    >>> status.instruction_set in ("avx512_bf16", "avx512", "avx2", "baseline", None)
    True
    >>> (status.instruction_set is None) == (status.reason is not None)
    True
    """
    return _loaded()[1]


DTYPES = ("float32", "float64", "bfloat16", "float16")
"""The dtypes of the kernels, in the order of ``Dtype`` in ``problem.h``."""


def scratch_bytes(map: Map, dtype: str, arrays: Sequence[Sequence[int]], groups: int, threads: int) -> int:
    """Return the bytes of scratch memory that a call needs with at most so many threads.

    The arrays are the shapes of x, w and z, and the stride, the dilation and ``lo`` of each axis.
    """
    numbers, library = [number for array in arrays for number in array], loaded_library()
    assert library is not None
    geometry = (ctypes.c_int64 * len(numbers))(*numbers), len(arrays[-1]), groups
    found = library.jconvt_scratch_bytes([*_HANDLERS].index(map), DTYPES.index(dtype), *geometry, threads)
    return max(0, found)  # otherwise the call says what does not fit


def _loaded() -> tuple[ctypes.CDLL | None, NativeStatus]:
    with _lock:
        is_first = not _load.cache_info().currsize
        library, status, is_broken = _load()
    if is_first and is_broken:
        warnings.warn(str(status), RuntimeWarning, stacklevel=2)
    return library, status


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, NativeStatus, bool]:
    """Return the library, the status, and whether there is a library that does not load."""
    if _is_switched_off():
        return None, NativeStatus(None, "JCONVT_NATIVE is 0", "unset JCONVT_NATIVE"), False
    path = _path()
    if path is None:
        reason = "jconvt was installed without them: there was no C++ compiler, or they did not compile"
        compiler = _COMPILERS.get(sys.platform, "install a C++20 compiler")
        return None, NativeStatus(None, reason, f"{compiler}; then, in a checkout: {_INSTALL} (-v shows errors)"), False
    try:
        library, instruction_set = _open(path)
    except (AttributeError, OSError, RuntimeError) as error:
        fix = f"in a checkout: {_INSTALL}; or set JCONVT_NATIVE=0 to hide this warning"
        return None, NativeStatus(None, f"{path} does not load: {error}", fix), True
    return library, NativeStatus(instruction_set), False


def _is_switched_off() -> bool:
    value = os.environ.get("JCONVT_NATIVE", "1")
    if value not in ("0", "1"):
        raise ArgumentError(
            "an environment variable has an unknown value",
            got=f"JCONVT_NATIVE={value}",
            legal="0 or 1",
            fix="set it to 0 to do without the compiled kernels, or unset it to use them",
        )
    return value == "0"


def _path() -> pathlib.Path | None:
    """Return the file of the library. An editable installation and a build in place have one each: the newest."""
    paths = [pathlib.Path(folder, f"libjconvt{suffix}") for folder in __path__ for suffix in (".so", ".dylib", ".dll")]
    return max(filter(pathlib.Path.is_file, paths), key=lambda path: path.stat().st_mtime, default=None)


def _open(path: pathlib.Path) -> tuple[ctypes.CDLL, str]:
    """Load and register the library, and return it and its instruction set."""
    if _is_truncated(path):
        raise OSError("the file is truncated")
    library = ctypes.CDLL(str(path))
    if (abi := library.jconvt_abi()) != ABI:
        raise OSError(f"the file is of another version of jconvt (interface {abi}, expected {ABI})")
    number = ctypes.c_int64
    library.jconvt_scratch_bytes.restype = number
    library.jconvt_scratch_bytes.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, number, number, number)
    library.jconvt_select.restype = ctypes.c_char_p
    library.jconvt_select.argtypes = (ctypes.c_char_p,)
    wanted = os.environ.get("JCONVT_NATIVE_ISA")
    instruction_set = library.jconvt_select(None if wanted is None else wanted.encode())
    if instruction_set is None:
        raise ArgumentError(
            "an environment variable selects an instruction set that the kernels or this CPU lack",
            got=f"JCONVT_NATIVE_ISA={wanted}",
            legal="avx512_bf16, avx512, avx2 or baseline, if the CPU has it",
            fix="unset it for the best that the CPU has",
        )
    for map, handler in _HANDLERS.items():
        jax.ffi.register_ffi_target(TARGETS[map], jax.ffi.pycapsule(getattr(library, handler)), platform="cpu")
    return library, instruction_set.decode()


def _is_truncated(path: pathlib.Path) -> bool:
    """Return whether an ELF file ends before its segments do. Linux would load it, and then kill the process."""
    with path.open("rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:5] != b"\x7fELF\x02":
            return False
        file.seek(*struct.unpack_from("<Q", header, 32))
        size, count = struct.unpack_from("<HH", header, 54)
        table = file.read(size * count)
    ends = [sum(struct.unpack_from("<Q16xQ", table, at + 8)) for at in range(0, len(table) - 55, size)]
    return len(ends) < count or max(ends, default=0) > path.stat().st_size
