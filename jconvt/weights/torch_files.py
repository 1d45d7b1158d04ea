"""Files of ``torch.save`` that hold a state_dict. No code in them is run.

Such a file is a zip archive with a pickle and the numbers. The pickle is looked through before PyTorch, restricted to
weights, unpickles it: it may name what rebuilds tensors, and nothing else.
"""

import io
import pathlib
import pickletools
import re
import zipfile
from collections import OrderedDict
from typing import Any

import jax.numpy as jnp
import numpy as np

from . import flat
from .archive import members
from .broken import Budget, broken, reading
from .layer import Checkpoint, listed
from .packages import package

_WHAT = "PyTorch state_dict"
_AGAIN = "save the state_dict alone, by torch.save(model.state_dict(), path)"
_TRUSTED = re.compile(
    r"collections OrderedDict"
    r"|torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)"
    r"|torch \w+Storage"
)
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}


def read(path: pathlib.Path) -> Checkpoint:
    """The layers of a state_dict, or of the one that a training checkpoint holds."""
    torch = package("torch", f"reading {path}", "torch")
    if [int(part) for part in re.findall(r"\d+", torch.__version__)[:2]] < [2, 6]:
        raise ImportError(f"reading {path} safely needs torch 2.6 or later: pip install 'torch>=2.6'")
    with reading(path, _WHAT):
        if not zipfile.is_zipfile(path):
            raise broken(path, _WHAT, "no zip archive", f"{_AGAIN}: its format since PyTorch 1.6 is a zip archive")
        with zipfile.ZipFile(path) as archive:
            _check_pickle(path, archive)
        found = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
        tensors = _state_dict(path, found, torch)
        arrays = _arrays(path, tensors, torch)
    return Checkpoint(flat.layers(arrays, "torch"), "torch", source=str(path))


def write(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint's arrays as a state_dict."""
    torch = package("torch", f"writing {path}", "torch")
    state_dict: OrderedDict[str, Any] = OrderedDict()
    for name, array in flat.arrays(checkpoint.layers).items():
        own = np.array(array, order="C")
        if own.dtype == jnp.bfloat16:
            state_dict[name] = torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
        else:
            state_dict[name] = torch.from_numpy(own)
    with path.open("wb") as file:
        torch.save(state_dict, file)


def _check_pickle(path: pathlib.Path, archive: zipfile.ZipFile) -> None:
    """Refuses a pickle that names what a state_dict does not need, or that could take forever."""
    pickles = [name for name in members(path, archive, _WHAT) if name.endswith("data.pkl")]
    if len(pickles) != 1 or pickles[0].count("/") > 1:
        raise broken(path, _WHAT, f"pickles: {listed(pickles)}", _AGAIN)
    strings: list[Any] = []
    tuples: set[Any] = set()
    before = ""
    for opcode, argument, _ in pickletools.genops(io.BytesIO(archive.read(pickles[0]))):
        name = opcode.name
        if name in ("GLOBAL", "INST") and not _TRUSTED.fullmatch(str(argument)):
            raise _code(path, str(argument))
        if name == "STACK_GLOBAL" and not _TRUSTED.fullmatch(" ".join(map(str, strings[-2:]))):
            raise _code(path, " ".join(map(str, strings[-2:])))
        if name in _STRINGS:
            strings = [*strings[-1:], argument]
        # Tuples of the same tuples, level after level, are small to write and take forever to hash.
        if name in ("BINPUT", "LONG_BINPUT", "PUT") and before.startswith("TUPLE"):
            tuples.add(argument)
        if name == "DUP" or (name in ("BINGET", "LONG_BINGET", "GET") and argument in tuples):
            raise broken(path, _WHAT, "a pickle that uses a tuple twice", _AGAIN)
        before = name


def _code(path: pathlib.Path, name: str) -> Exception:
    named = name.replace(" ", ".")[:100]
    return broken(path, _WHAT, f"a pickle that refers to {named}, which is no tensor and is not run", _AGAIN)


def _state_dict(path: pathlib.Path, found: Any, torch: Any) -> dict[str, Any]:
    """The state_dict: ``found``, or the one dictionary of tensors in it."""
    if isinstance(found, dict):
        inner = {key: value for key, value in found.items() if isinstance(value, dict)}
        state_dicts = {key: value for key, value in inner.items() if _is_state_dict(value, torch)}
        if _is_state_dict(found, torch):
            return found
        if len(state_dicts) == 1:
            return next(iter(state_dicts.values()))
        shown = f"a dictionary of {listed(map(str, found))}; with state_dicts in {listed(map(str, state_dicts))}"
        raise broken(path, _WHAT, shown, _AGAIN)
    raise broken(path, _WHAT, f"an object of type {type(found).__name__}", _AGAIN)


def _is_state_dict(value: dict[Any, Any], torch: Any) -> bool:
    return bool(value) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())


def _arrays(path: pathlib.Path, tensors: dict[str, Any], torch: Any) -> dict[str, np.ndarray]:
    """NumPy's arrays of the tensors, copied out of the mapped file; tensors that are one stay one."""
    budget = Budget(path, _WHAT, path.stat().st_size)
    copies: dict[Any, np.ndarray] = {}
    arrays = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise broken(path, _WHAT, f"{name} is sparse, quantised or without numbers", _AGAIN)
        tensor = tensor.detach()
        key = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)
        if key not in copies:
            budget.spend(name, tensor.numel() * tensor.element_size())
            if tensor.dtype == torch.bfloat16:
                copies[key] = np.array(tensor.contiguous().view(torch.int16).numpy()).view(jnp.bfloat16)
            else:
                copies[key] = np.array(tensor.numpy(), order="C")
        arrays[name] = copies[key]
    return arrays
