"""State_dicts in ``torch.save``'s format. No code in the file runs.

Such a file is a zip archive of a pickle and the numbers. The pickle is checked before PyTorch's restricted loader
unpickles it: it may only refer to the functions that rebuild tensors.
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

from .._errors import listed, require
from ..checkpoint import Checkpoint
from . import state_dict
from .untrusted import ByteBudget, CorruptError, members, parsing

_FORMAT = "PyTorch state_dict"
_SAVE_AGAIN = "save only the state_dict, by torch.save(model.state_dict(), path)"
_TRUSTED = re.compile(r"collections OrderedDict|torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)|torch \w+Storage")
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}


def read(path: pathlib.Path) -> Checkpoint:
    """Read the layers of a state_dict, or of the only one in a training checkpoint."""
    torch = require("torch", f"reading {path}")
    if [int(part) for part in re.findall(r"\d+", torch.__version__)[:2]] < [2, 6]:
        raise ImportError(f"reading {path} safely needs torch 2.6 or later: pip install 'torch>=2.6'")
    with parsing(path, _FORMAT):
        if not zipfile.is_zipfile(path):
            raise CorruptError("no zip archive", f"{_SAVE_AGAIN}: PyTorch 1.6 and later write zip archives")
        with zipfile.ZipFile(path) as archive:
            _check_pickle(path, archive)
        content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
        arrays = _arrays(path, _find_state_dict(content, torch), torch)
    return Checkpoint(state_dict.layers(arrays, "torch"), "torch", source=str(path))


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


def _check_pickle(path: pathlib.Path, archive: zipfile.ZipFile) -> None:
    """Raise an error for a pickle that refers to more than a state_dict needs, or that could take forever to load."""
    pickles = [name for name in members(path, archive) if name.endswith("data.pkl")]
    if len(pickles) != 1 or pickles[0].count("/") > 1:
        raise CorruptError(f"pickles: {listed(pickles)}", _SAVE_AGAIN)
    strings: list[Any] = []
    tuples: set[Any] = set()
    before = ""
    for opcode, argument, _ in pickletools.genops(io.BytesIO(archive.read(pickles[0]))):
        name = opcode.name
        if name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            reference = " ".join(map(str, strings[-2:])) if name == "STACK_GLOBAL" else str(argument)
            if not _TRUSTED.fullmatch(reference):
                shown = reference.replace(" ", ".")[:100]
                found = f"a pickle that refers to {shown}, which is not a tensor and is not run"
                raise CorruptError(found, _SAVE_AGAIN)
        if name in _STRINGS:
            strings = [*strings[-1:], argument]
        # Tuples of the same tuples, level after level, are small to write and take forever to hash.
        if name in ("BINPUT", "LONG_BINPUT", "PUT") and before.startswith("TUPLE"):
            tuples.add(argument)
        if name == "DUP" or (name in ("BINGET", "LONG_BINGET", "GET") and argument in tuples):
            raise CorruptError("a pickle that uses a tuple twice", _SAVE_AGAIN)
        before = name


def _find_state_dict(content: Any, torch: Any) -> dict[str, Any]:
    """Return the content if it is a state_dict, or the only state_dict that it contains."""
    if not isinstance(content, dict):
        raise CorruptError(f"an object of type {type(content).__name__}", _SAVE_AGAIN)
    if _is_state_dict(content, torch):
        return content
    found = {key: value for key, value in content.items() if _is_state_dict(value, torch)}
    if len(found) != 1:
        text = f"a dictionary of {listed(map(str, content))}; with state_dicts in {listed(map(str, found))}"
        raise CorruptError(text, _SAVE_AGAIN)
    return next(iter(found.values()))


def _is_state_dict(value: Any, torch: Any) -> bool:
    is_filled = isinstance(value, dict) and bool(value)
    return is_filled and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())


def _arrays(path: pathlib.Path, tensors: dict[str, Any], torch: Any) -> dict[str, np.ndarray]:
    """Return NumPy arrays, copied out of the mapped file. Names that share a tensor share its copy."""
    budget = ByteBudget(path.stat().st_size)
    copies: dict[Any, np.ndarray] = {}
    arrays = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise CorruptError(f"{name} is sparse, quantised or without numbers", _SAVE_AGAIN)
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
