"""Keras's files: ``.keras``, ``.weights.h5``, and whole models in ``.h5``. No layer is built and no code is run.

A ``.keras`` file is a zip archive with the configuration, as JSON, and the weights, as HDF5. There the weights of a
layer lie under the name of its class, counted, and the layer's own name is an attribute. Files of weights alone have
no configuration: what a layer is, is told from that name and from its shapes.
"""

import contextlib
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from . import flat, hdf5, keras_config
from .archive import members
from .broken import broken, reading
from .frameworks import OTHER
from .keras_config import Entry
from .layer import Checkpoint, Layer
from .packages import package

WEIGHTS = "model.weights.h5"
"""The member of a ``.keras`` file that has the numbers."""


class Found(NamedTuple):
    """A layer, the datasets that its arrays are in, by role, and whether the file tells its place in the model."""

    layer: Layer
    places: Mapping[str, str]
    in_order: bool = True


def read(path: pathlib.Path) -> Checkpoint:
    """The layers of a file of Keras's."""
    what = "Keras file"
    with reading(path, what), opened(path) as (file, config):
        found = scan(path, file, config)
        layers = {name: each.layer for name, each in found.items()}
    return Checkpoint(layers, "keras", ordered=ordered(found, config), source=str(path))


def ordered(found: Mapping[str, Found], config: Any) -> bool:
    """Whether the layers are in the model's order. Models and layers with code of their own do not say theirs."""
    return config is not None and all(each.in_order for each in found.values() if each.layer.kind != OTHER)


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[tuple[Any, Any]]:
    """The HDF5 file of ``path``, open for reading, and the configuration or ``None``."""
    h5py = package("h5py", f"reading {path}", "'jconvt[weights]'")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found = members(path, archive, "Keras file")
            for name in ("config.json", WEIGHTS):
                if name not in found:
                    fix = "save it again by model.save('name.keras'), with the weights in one file"
                    raise broken(path, "Keras file", f"no member {name}", fix)
            config = json.loads(archive.read("config.json"))
            content = io.BytesIO(archive.read(WEIGHTS))
            hdf5.check(path, content)
            with h5py.File(content, "r") as file:
                yield file, config
    else:
        with path.open("rb") as content:
            hdf5.check(path, content)
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            yield file, None if text is None else json.loads(text)


def scan(path: pathlib.Path, file: Any, config: Any) -> dict[str, Found]:
    """The layers of an open file, and where their arrays lie, in the configuration's order if there is one."""
    arrays = hdf5.datasets(path, file)
    arrays = {name: each for name, each in arrays.items() if name.partition("/")[0] not in _OPTIMIZERS}
    entries = keras_config.entries(config)
    if "layer_names" in file.attrs or "model_weights" in file:
        found = _legacy(file.get("model_weights", file), arrays, entries)
    else:
        found = _current(file, arrays, entries)
    placed = {place for each in found.values() for place in each.places.values()}
    for name, each in arrays.items():
        if name not in placed and each.shape is not None and not each.dtype.hasobject:
            found[name] = Found(Layer(OTHER, {"value": _numbers(each)}, "keras"), {"value": name})
    return found


_OPTIMIZERS = ("optimizer", "optimizer_weights", "_optimizer")


def _numbers(dataset: Any) -> np.ndarray:
    """The numbers of a dataset that was checked. HDF5 has no bfloat16: Keras writes it as two opaque bytes."""
    array = np.array(dataset[()])
    return array.view(jnp.bfloat16) if array.dtype.kind == "V" and array.dtype.itemsize == 2 else array


def _found(entry: Entry | None, places: Mapping[str, str], arrays: Mapping[str, Any]) -> Found:
    """The layer whose arrays lie at ``places``, of the class that the configuration says, if it does."""
    named = {role: _numbers(arrays[place]) for role, place in places.items()}
    kind = None if entry is None else keras_config.kind(entry)
    if entry is not None and keras_config.opaque(entry):
        return Found(Layer(OTHER, named, "keras"), places)
    if entry is None or kind is None or set(named) != set(keras_config.roles(entry)):
        (layer,) = flat.layers({f"layer.{role}": array for role, array in named.items()}, "keras").values()
        return Found(layer, places)
    groups = entry.config.get("groups", 1) if kind == "conv" else 1 if kind == "conv_transpose" else None
    if keras_config.depthwise(entry):
        *sizes, groups, multiplier = named["kernel"].shape
        named["kernel"] = named["kernel"].reshape(*sizes, 1, groups * multiplier)
    shape = named["kernel"].shape if "kernel" in named else ()
    spec, epsilon = keras_config.spec(entry, shape), keras_config.epsilon(entry)
    return Found(Layer(kind, named, "keras", groups, spec=spec, epsilon=epsilon), places)


def _current(file: Any, arrays: Mapping[str, Any], entries: tuple[Entry, ...]) -> dict[str, Found]:
    """Of Keras 3: the variables of a layer are datasets ``0``, ``1``, ... of its group ``vars``."""
    variables: dict[str, list[str]] = {}
    for name in arrays:
        group, _, last = name.rpartition("/")
        if last.isdecimal() and group.rpartition("/")[2] == "vars":
            variables.setdefault(group.removesuffix("vars").rstrip("/"), []).append(name)
    groups = dict(_matched(file, "", entries))
    found: dict[str, Found] = {}
    for group in [*(each for each in groups if each in variables), *sorted(set(variables) - set(groups), key=_natural)]:
        places = sorted(variables[group], key=_natural)
        axes = [len(arrays[place].shape) for place in places]
        around = next((groups[each] for each in _upward(group) if each in groups), None)
        entry = around if group in groups or _is_opaque(around) else _told_by_name(file, group, len(axes))
        if _is_opaque(entry):
            roles = []
        else:
            roles = keras_config.roles(entry) if entry and keras_config.kind(entry) else _told_by_shapes(axes)
        if len(roles) != len(places):
            roles = list(map(str, range(len(places))))
        name = _path(file, group)
        each = _found(entry, dict(zip(roles, places, strict=True)), arrays)
        found[group if name in found else name] = each._replace(in_order=group in groups)
    return found


def _is_opaque(entry: Entry | None) -> bool:
    return entry is not None and keras_config.opaque(entry)


def _upward(group: str) -> Iterator[str]:
    """The group, that which it is in, and so on."""
    while group:
        yield group
        group = group.rpartition("/")[0]


def _matched(file: Any, prefix: str, entries: tuple[Entry, ...]) -> Iterator[tuple[str, Entry]]:
    """The group of each layer of the configuration: that whose attribute has its name, or that of its class."""
    container = file.get(f"{prefix}layers")
    groups = {} if container is None else {_name(file, f"{prefix}layers/{each}"): each for each in container}
    counts: dict[str, int] = {}
    for entry in entries:
        number = counts[entry.class_name] = counts.get(entry.class_name, -1) + 1
        plain = _snake(entry.class_name) + (f"_{number}" if number else "")
        group = f"{prefix}layers/{groups.get(entry.name, plain)}"
        if entry.children:
            yield from _matched(file, f"{group}/", entry.children)
        else:
            yield group, entry


def _name(file: Any, group: str) -> str | None:
    """The layer's own name, which newer files have."""
    own = file.get(f"{group}/vars")
    name = None if own is None else own.attrs.get("name")
    return name if isinstance(name, str) else None


def _path(file: Any, group: str) -> str:
    """The names of the layer and of the models around it."""
    parts = group.split("/")
    shown = [
        _name(file, "/".join(parts[: i + 1])) or part
        for i, part in enumerate(parts)
        if part != "layers" or i == len(parts) - 1
    ]
    return ".".join(shown)


def _told_by_name(file: Any, group: str, count: int) -> Entry | None:
    """The layer that a name made from its class tells, if it has ``count`` variables."""
    for name in (group.rpartition("/")[2], _name(file, group) or ""):
        class_name = _CLASSES.get(re.sub(r"_\d+$", "", name))
        if class_name is not None:
            entry = Entry(name, class_name, {"use_bias": count == 2, "groups": None}, ())
            return entry if len(keras_config.roles(entry)) == count else None
    return None


def _told_by_shapes(axes: list[int]) -> list[str]:
    """The roles of variables with these numbers of axes."""
    if axes in ([1, 1, 1, 1], [1, 1]):
        return ["scale", "bias", "mean", "var"][: len(axes)]
    if axes[0] >= 2 and axes[1:] in ([], [1]):
        return ["kernel", "bias"][: len(axes)]
    return []


def _snake(class_name: str) -> str:
    """Keras's name for a layer of the class."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


_CLASSES = {
    _snake(name): name
    for name in (
        *(f"Conv{rank}D{transpose}" for rank in (1, 2, 3) for transpose in ("", "Transpose")),
        *("DepthwiseConv1D", "DepthwiseConv2D", "Dense", "BatchNormalization"),
        *("LayerNormalization", "GroupNormalization", "RMSNormalization"),
    )
}
"""The classes that are converted, by the name that Keras makes from them."""


def _natural(name: str) -> list[Any]:
    """A key by which 2 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _legacy(root: Any, arrays: Mapping[str, Any], entries: tuple[Entry, ...]) -> dict[str, Found]:
    """Of a whole model in HDF5: each group lists the names of its weights, which are its layer's or those in it."""
    names = [each.decode() if isinstance(each, bytes) else str(each) for each in root.attrs.get("layer_names", ())]
    prefix = "" if root.name == "/" else f"{root.name.strip('/')}/"
    found: dict[str, Found] = {}
    for top in names:
        owners: dict[str, dict[str, str]] = {}
        for weight in root[top].attrs.get("weight_names", ()):
            weight = weight.decode() if isinstance(weight, bytes) else str(weight)
            owner, _, last = weight.rpartition("/")
            place = f"{prefix}{top}/{weight}"
            last = last.partition(":")[0]
            role = _ROLES.get(last, last)
            owners.setdefault(owner, {})[role] = place
        inner = next((entry.children for entry in entries if entry.name == top), ())
        # Weights that are not trained are listed last, wherever their layer is.
        place_of = {entry.name: i for i, entry in enumerate(keras_config.flattened(inner))}
        in_order = len(owners) == 1 or all(owner.rpartition("/")[2] in place_of for owner in owners)
        for owner, places in sorted(owners.items(), key=lambda item: place_of.get(item[0].rpartition("/")[2], -1)):
            own = owner.rpartition("/")[2]
            candidates = keras_config.named(inner, own) if inner else keras_config.named(entries, top)
            path = f"{top}.{own}" if inner or len(owners) > 1 else top
            path = f"{top}.{owner}" if path in found else path
            places = {role: place for role, place in places.items() if place in arrays}
            if places:
                found[path] = _found(next(candidates, None), places, arrays)._replace(in_order=in_order)
    return found


_ROLES = {
    "kernel": "kernel",
    "depthwise_kernel": "kernel",
    "bias": "bias",
    "gamma": "scale",
    "beta": "bias",
    "moving_mean": "mean",
    "moving_variance": "var",
}
