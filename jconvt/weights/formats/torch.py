"""State_dicts in ``torch.save``'s formats. They are read as data, without PyTorch: no code in the file runs.

Such a file is a zip archive of a pickle and the numbers; before PyTorch 1.6, several pickles with the numbers behind.
"""

import contextlib
import io
import itertools
import math
import mmap
import pathlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...errors import ArgumentError
from .._errors import listed, require
from ..checkpoint import Checkpoint
from . import pickle_data, state_dict
from .pickle_data import Call, Name
from .state_dict import Arrays
from .untrusted import ByteBudget, CorruptError, members, parsing

_FORMAT = "PyTorch state_dict"
_SAVE_AGAIN = "save only the state_dict, by torch.save(model.state_dict(), path)"
_LEGACY_NUMBER = 0x1950A86A20F9469CFC6C  # the first value of a file from before PyTorch 1.6
_DEEPEST, _MOST_DICTIONARIES = 8, 100_000  # in which state_dicts are looked for
_LONGEST = 1_000  # characters of a key of a state_dict
_DTYPES = {
    f"torch.{name}Storage": np.dtype(dtype)
    for name, dtype in {
        **{"Double": np.float64, "Float": np.float32, "Half": np.float16, "BFloat16": jnp.bfloat16, "Bool": np.bool_},
        **{"Long": np.int64, "Int": np.int32, "Short": np.int16, "Char": np.int8, "Byte": np.uint8},
        **{"ComplexFloat": np.complex64, "ComplexDouble": np.complex128},
    }.items()
}


class _Tensor(NamedTuple):
    """A tensor as the pickle describes it: where its numbers are, in elements of its dtype."""

    kind: str  # the class of its storage, which says the dtype
    storage: str
    size: int  # of the storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_Found = dict[str, _Tensor | str]  # the tensors of a state_dict by name; a text says why one cannot be read


def read(path: pathlib.Path, key: str | None = None) -> Arrays:
    """Read the arrays of a state_dict: of the only one of the file, or of the one at ``key``."""
    with parsing(path, _FORMAT), path.open("rb") as file:
        opened = _legacy if file.read(1) == b"\x80" else _archive
        with opened(path) as (content, storage):
            name, tensors = _choose(path, _state_dicts(content), content, key)
            arrays, unread = _read_tensors(tensors, storage, ByteBudget(path.stat().st_size))
    notes = []
    if name and key is None:
        others = [each for each in content if each != name.partition(".")[0]]
        notes.append(f"read from key={name!r}; not read: {listed(others)}")
    return Arrays(arrays, unread, (*notes, *state_dict.tied_note(arrays)))


def write(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint's arrays as a state_dict."""
    torch = require("torch", f"writing {path}")
    tensors: OrderedDict[str, Any] = OrderedDict()
    for name, array in state_dict.arrays(checkpoint.layers).items():
        copy = np.array(array, order="C")
        is_bfloat16 = copy.dtype == jnp.bfloat16  # which PyTorch does not accept from NumPy
        tensor = torch.from_numpy(copy.view(np.int16) if is_bfloat16 else copy)
        tensors[name] = tensor.view(torch.bfloat16) if is_bfloat16 else tensor
    with path.open("wb") as file:
        torch.save(tensors, file)


@contextlib.contextmanager
def _archive(path: pathlib.Path) -> Iterator[tuple[Any, Callable[[str], bytes]]]:
    """Open a zip archive, and yield the content of its pickle and a function that reads a storage."""
    if not zipfile.is_zipfile(path):
        raise CorruptError("neither a zip archive nor a pickle", _SAVE_AGAIN)
    with zipfile.ZipFile(path) as archive:
        if any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist()):
            fix = f"save its numbers: torch.save(torch.jit.load({path.name!r}).state_dict(), 'state_dict.pt')"
            raise CorruptError("a TorchScript program, which torch.jit.save wrote", fix)
        if any(name.endswith("/archive_format") for name in archive.namelist()):
            fix = f"save its numbers: torch.save(torch.export.load({path.name!r}).state_dict, 'state_dict.pt')"
            raise CorruptError("a program, which torch.export.save wrote", fix)
        found = members(path, archive)
        pickles = [name for name in found if name.endswith("data.pkl")]
        if len(pickles) != 1 or pickles[0].count("/") > 1:
            raise CorruptError(f"pickles: {listed(pickles)}", _SAVE_AGAIN)
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in found and archive.read(f"{folder}byteorder") != b"little":
            raise CorruptError("numbers of a big-endian machine", _SAVE_AGAIN)
        content = pickle_data.load(io.BytesIO(archive.read(pickles[0])))
        yield content, lambda name: archive.read(f"{folder}data/{name}")


@contextlib.contextmanager
def _legacy(path: pathlib.Path) -> Iterator[tuple[Any, Callable[[str], bytes]]]:
    """Open a file from before PyTorch 1.6, and yield the same."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if pickle_data.load(data) != _LEGACY_NUMBER:
            raise CorruptError("a pickle that torch.save did not write", _SAVE_AGAIN)
        pickle_data.load(data)  # the version
        if pickle_data.load(data)["little_endian"] is not True:
            raise CorruptError("numbers of a big-endian machine", _SAVE_AGAIN)
        references: list[Any] = []
        content = pickle_data.load(data, references)
        dtypes = {found[2]: _DTYPES.get(found[1].name) for found in references if found[0] == "storage"}
        places, start = {}, None
        for name in pickle_data.load(data):
            start = data.tell() if start is None else start
            if (dtype := dtypes[name]) is None:
                raise CorruptError(f"a storage of unknown dtype before storage {name}", _SAVE_AGAIN)
            stop = start + 8 + int.from_bytes(data[start : start + 8], "little") * dtype.itemsize
            places[name] = slice(start + 8, stop)
            start = stop
        yield content, lambda name: data[places[name]]


def _state_dicts(content: Any) -> dict[str, _Found]:
    """Return the dictionaries with tensors by their keys, joined by dots; that of the file has the key ''."""
    found: dict[str, _Found] = {}
    visits = itertools.count()

    def visit(value: Any, path: str, depth: int) -> None:
        if not isinstance(value, dict) or depth > _DEEPEST:
            return
        if next(visits) > _MOST_DICTIONARIES:
            raise CorruptError("too many dictionaries", _SAVE_AGAIN)
        if len(path) > _LONGEST:
            raise CorruptError(f"a dictionary with a key of {len(path)} characters", _SAVE_AGAIN)
        if tensors := {name: tensor for name, each in value.items() if (tensor := _tensor(each)) is not None}:
            if path in found:
                raise CorruptError(f"two dictionaries at {path}", _SAVE_AGAIN)
            found[path] = tensors
        for name, inner in value.items():
            visit(inner, f"{path}.{name}" if path else name, depth + 1)

    visit(content, "", 0)
    return found


def _tensor(value: Any) -> _Tensor | str | None:
    """Return the tensor that a call makes, or a text for one that cannot be read, or ``None``."""
    match value:
        case Call(
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
            (
                Call(pickle_data.PERSISTENT, ("storage", Name(kind), str(storage), _, int(size), *_)),
                int(offset),
                tuple(shape),
                tuple(strides),
                *_,
            ),
        ):
            return _Tensor(kind, storage, size, offset, shape, strides)
        case Call("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", (inner, *_)):
            return _tensor(inner)
        case Call("torch._tensor._rebuild_from_type_v2", (Name(function), _, arguments, *_)):
            return _tensor(Call(function, arguments))
        case Call("torch._utils._rebuild_tensor_v3", (_, _, _, _, _, _, Name(dtype), *_)):
            return f"dtype {dtype}"
        case Call(name) if name.startswith(("torch._utils._rebuild_", "torch._tensor._rebuild_")):
            return name.partition("_rebuild_")[2]  # "sparse_tensor", "qtensor", and others
    return None


def _choose(path: pathlib.Path, found: Mapping[str, _Found], content: Any, key: str | None) -> tuple[str, _Found]:
    """Return the state_dict at ``key``, or the only one that has a kernel or what may be one, or the only one."""
    if not found:
        entries = content.items() if isinstance(content, dict) else ()
        names = [f"{name} ({each.name})" if isinstance(each, Call) else name for name, each in entries]
        whole = content.name if isinstance(content, Call) else type(content).__name__
        text = f"a dictionary of {listed(names)}, without tensors" if names else f"an object of type {whole}"
        raise CorruptError(f"{text}; nothing in it is run", _SAVE_AGAIN)
    has_kernel = {
        name: tensors
        for name, tensors in found.items()
        if any(isinstance(each, str) or len(each.shape) > 1 for each in tensors.values())
    }
    choices = has_kernel or found
    if key is None and len(choices) == 1:
        return next(iter(choices.items()))
    if key is not None and key in found:
        return key, found[key]
    problem = f"{path} has several state_dicts" if key is None else f"{path} has no state_dict at key={key!r}"
    got, name = listed(f"{name!r} ({len(each)} tensors)" for name, each in choices.items()), next(iter(choices))
    raise ArgumentError(problem, got=got, legal="the key of one of them", fix=f"pass key={name!r}, or --key '{name}'")


def _read_tensors(
    tensors: _Found, storage: Callable[[str], bytes], budget: ByteBudget
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return NumPy arrays, and why others cannot be read. Names of one tensor have one array."""
    buffers: dict[str, bytes] = {}
    views: dict[_Tensor, np.ndarray] = {}
    arrays, unread = {}, {}
    for name, tensor in tensors.items():
        if isinstance(tensor, str) or (dtype := _DTYPES.get(tensor.kind)) is None:
            unread[name] = tensor if isinstance(tensor, str) else f"dtype {tensor.kind}"
            continue
        if any(type(each) is not int or each < 0 for each in (tensor.offset, *tensor.shape, *tensor.strides)):
            raise CorruptError(f"{name} of shape {tensor.shape}")
        count = math.prod(tensor.shape)
        if count > tensor.size and count * dtype.itemsize > budget.left:
            unread[name] = f"{tensor.shape} expanded from {tensor.size} numbers"
            continue
        if tensor not in views:
            budget.spend(name, count * dtype.itemsize)
            if tensor.storage not in buffers:
                buffers[tensor.storage] = storage(tensor.storage)
            if tensor.size * dtype.itemsize > len(buffers[tensor.storage]):
                raise CorruptError(f"{name}, whose numbers are missing")
            offset, *strides = (each * dtype.itemsize for each in (tensor.offset, *tensor.strides))
            views[tensor] = np.ndarray(tensor.shape, dtype, buffers[tensor.storage], offset, strides)
        arrays[name] = views[tensor]
    return arrays, unread
