"""Keras's files: ``.keras``, ``.weights.h5``, and whole models in ``.h5``. No layer is built and no code runs.

A ``.keras`` file is a zip archive of the configuration, as JSON, and the weights, as HDF5. There the weights of a
layer are in a group named by its class and a number, and the layer's name is an attribute. Files of only weights have
no configuration: the kind of a layer follows from the name of its group and from the shapes.
"""

import io
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..checkpoint import Checkpoint, Layer
from ..layouts import OTHER, role_of
from . import hdf5, keras_config, state_dict
from .keras_config import Entry
from .untrusted import CorruptError, members, parsing

FORMAT = "Keras file"
WEIGHTS = "model.weights.h5"  # the member of a .keras file that has the numbers

_OPTIMIZERS = ("optimizer", "optimizer_weights", "_optimizer")


class Stored(NamedTuple):
    """A layer, the names of its datasets by role, and whether the file has its position in the model."""

    layer: Layer
    datasets: Mapping[str, str]
    in_order: bool = True


def read(path: pathlib.Path) -> Checkpoint:
    """Read the layers of a Keras file."""
    stored, is_ordered = scan(path)
    return Checkpoint({name: each.layer for name, each in stored.items()}, "keras", is_ordered, str(path))


def scan(path: pathlib.Path) -> tuple[dict[str, Stored], bool]:
    """Return a file's layers, and whether they are in the model's order, which custom models and layers do not have."""
    with parsing(path, FORMAT):
        config, content = _archive(path) if zipfile.is_zipfile(path) else (None, path.open("rb"))
        with content, hdf5.opened(path, content) as (file, datasets):
            if config is None and "model_config" in file.attrs:
                config = json.loads(file.attrs["model_config"])
            stored = _scan(file, datasets, keras_config.parse(config))
    is_ordered = all(each.in_order for each in stored.values() if each.layer.kind != OTHER)
    return stored, config is not None and is_ordered


def _archive(path: pathlib.Path) -> tuple[Any, IO[bytes]]:
    """Return the configuration and the HDF5 file in a ``.keras`` file."""
    with zipfile.ZipFile(path) as archive:
        found = members(path, archive)
        for name in ("config.json", WEIGHTS):
            if name not in found:
                fix = "save it again by model.save('name.keras'), with the weights in one file"
                raise CorruptError(f"no member {name}", fix)
        return json.loads(archive.read("config.json")), io.BytesIO(archive.read(WEIGHTS))


def _scan(file: Any, datasets: Mapping[str, Any], entries: tuple[Entry, ...]) -> dict[str, Stored]:
    arrays = {name: each for name, each in datasets.items() if name.partition("/")[0] not in _OPTIMIZERS}
    if "layer_names" in file.attrs or "model_weights" in file:
        found = _scan_legacy(file.get("model_weights", file), arrays, entries)
    else:
        found = _scan_current(file, arrays, entries)
    used = {name for each in found.values() for name in each.datasets.values()}
    for name, each in arrays.items():
        if name not in used and each.shape is not None and not each.dtype.hasobject:
            found[name] = Stored(Layer(OTHER, {"value": _numbers(each)}, "keras"), {"value": name})
    return found


def _numbers(dataset: Any) -> np.ndarray:
    """Read a checked dataset. HDF5 has no bfloat16: Keras writes it as two opaque bytes."""
    array = np.array(dataset[()])
    return array.view(jnp.bfloat16) if array.dtype.kind == "V" and array.dtype.itemsize == 2 else array


def _stored(entry: Entry | None, datasets: Mapping[str, str], arrays: Mapping[str, Any]) -> Stored:
    """Return the layer with these datasets by role, of the configuration's class if there is one."""
    named = {role: _numbers(arrays[name]) for role, name in datasets.items()}
    if entry is not None and entry.is_unconvertible:
        return Stored(Layer(OTHER, named, "keras"), datasets)
    if entry is None or entry.kind in (None, "prelu") or set(named) != set(entry.roles):
        return Stored(state_dict.layer(named, "keras"), datasets)
    groups = {"conv": entry.config.get("groups", 1), "conv_transpose": 1}.get(entry.kind)
    if entry.is_depthwise:
        *sizes, groups, multiplier = named["kernel"].shape
        named["kernel"] = named["kernel"].reshape(*sizes, 1, groups * multiplier)
    spec = entry.spec(named["kernel"].shape if "kernel" in named else ())
    return Stored(Layer(entry.kind, named, "keras", groups, spec=spec, epsilon=entry.epsilon), datasets)


def _scan_current(file: Any, arrays: Mapping[str, Any], entries: tuple[Entry, ...]) -> dict[str, Stored]:
    """Scan a file of Keras 3: the variables of a layer are the datasets ``0``, ``1``, ... of its group ``vars``."""
    variables: dict[str, list[str]] = {}
    for name in arrays:
        group, _, last = name.rpartition("/")
        if last.isdecimal() and group.rpartition("/")[2] == "vars":
            variables.setdefault(group.removesuffix("vars").rstrip("/"), []).append(name)
    known = dict(_groups(file, "", entries))
    position = {group: i for i, group in enumerate(known)}
    found: dict[str, Stored] = {}
    for group in sorted(variables, key=lambda each: (position.get(each, len(known)), _natural(each))):
        names = sorted(variables[group], key=_natural)
        entry = next((known[each] for each in _ancestry(group) if each in known), None)
        is_unconvertible = entry is not None and entry.is_unconvertible
        if group not in known and not is_unconvertible:
            entry = _guess_entry(file, group, len(names))
        roles = entry.roles if entry is not None else []
        if not roles and not is_unconvertible:
            roles = _guess_roles([len(arrays[name].shape) for name in names])
        if len(roles) != len(names):
            roles = list(map(str, range(len(names))))
        path = _path(file, group)
        stored = _stored(entry, dict(zip(roles, names, strict=True)), arrays)
        found[group if path in found else path] = stored._replace(in_order=group in known)
    return found


def _ancestry(group: str) -> Iterator[str]:
    while group:
        yield group
        group = group.rpartition("/")[0]


def _groups(file: Any, prefix: str, entries: tuple[Entry, ...]) -> Iterator[tuple[str, Entry]]:
    """Yield each layer of the configuration with its group, found by its name attribute or else by its class."""
    container = file.get(f"{prefix}layers")
    named = {} if container is None else {_name(file, f"{prefix}layers/{each}"): each for each in container}
    counts: dict[str, int] = {}
    for entry in entries:
        number = counts[entry.class_name] = counts.get(entry.class_name, -1) + 1
        default = _snake(entry.class_name) + (f"_{number}" if number else "")
        group = f"{prefix}layers/{named.get(entry.name, default)}"
        if entry.children:
            yield from _groups(file, f"{group}/", entry.children)
        else:
            yield group, entry


def _name(file: Any, group: str) -> str | None:
    """Return the layer's name, which newer files have."""
    variables = file.get(f"{group}/vars")
    name = None if variables is None else variables.attrs.get("name")
    return name if isinstance(name, str) else None


def _path(file: Any, group: str) -> str:
    """Return the names of the layer and of the models around it."""
    parts = group.split("/")
    kept = [i for i, part in enumerate(parts) if part != "layers" or i == len(parts) - 1]
    return ".".join(_name(file, "/".join(parts[: i + 1])) or parts[i] for i in kept)


def _guess_entry(file: Any, group: str, count: int) -> Entry | None:
    """Return the layer that a group named after its class is, if that class has ``count`` variables."""
    for name in (group.rpartition("/")[2], _name(file, group) or ""):
        if class_name := _CLASSES.get(re.sub(r"_\d+$", "", name)):
            entry = Entry(name, class_name, {"use_bias": count == 2, "groups": None})
            return entry if len(entry.roles) == count else None
    return None


def _guess_roles(ranks: list[int]) -> list[str]:
    """Return the roles of variables with these numbers of axes."""
    if ranks in ([1, 1, 1, 1], [1, 1]):
        return ["scale", "bias", "mean", "var"][: len(ranks)]
    if ranks[0] >= 2 and ranks[1:] in ([], [1]):
        return ["kernel", "bias"][: len(ranks)]
    return []


def _snake(class_name: str) -> str:
    """Return Keras's name for a layer of the class."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


_CLASSES = {_snake(name): name for name in keras_config.KINDS}  # by Keras's layer names


def _natural(name: str) -> list[Any]:
    """Return a sort key that puts 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _scan_legacy(root: Any, arrays: Mapping[str, Any], entries: tuple[Entry, ...]) -> dict[str, Stored]:
    """Scan a whole model in HDF5: each group lists its weights, which belong to its layer or to inner layers."""
    prefix = "" if root.name == "/" else f"{root.name.strip('/')}/"
    found: dict[str, Stored] = {}
    for top in _texts(root.attrs.get("layer_names", ())):
        owners: dict[str, dict[str, str]] = {}
        for weight in _texts(root[top].attrs.get("weight_names", ())):
            owner, _, last = weight.rpartition("/")
            last = last.partition(":")[0]
            role = role_of("keras", last.removeprefix("depthwise_"), rank=0) or last
            owners.setdefault(owner, {})[role] = f"{prefix}{top}/{weight}"
        inner = next((entry.children for entry in entries if entry.name == top), ())
        # Frozen weights are listed last, wherever their layer is.
        position = {entry.name: i for i, entry in enumerate(keras_config.flattened(inner))}
        in_order = len(owners) == 1 or all(owner.rpartition("/")[2] in position for owner in owners)
        for owner in sorted(owners, key=lambda owner: position.get(owner.rpartition("/")[2], -1)):
            name = owner.rpartition("/")[2]
            path = f"{top}.{name}" if inner or len(owners) > 1 else top
            path = f"{top}.{owner}" if path in found else path
            if datasets := {role: place for role, place in owners[owner].items() if place in arrays}:
                among, wanted = (inner, name) if inner else (entries, top)
                entry = next((each for each in keras_config.flattened(among) if each.name == wanted), None)
                found[path] = _stored(entry, datasets, arrays)._replace(in_order=in_order)
    return found


def _texts(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
