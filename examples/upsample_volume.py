"""Upsample a volume that does not fit on one device: ``python examples/upsample_volume.py``.

The volume is a Zarr v3 array of real numbers: ``(depth, height, width)``, or with channels last. The program reads,
computes and writes blocks in float32. Each block is as large as ``--budget`` allows, and is sharded over the devices
along its depth; XLA exchanges the borders between them. ``jconvt.Axis`` computes the input window of a block, including
its halo. After a kill or a full disk, the same command continues. ``volume_blocks.py`` contains the blocks,
``volume_store.py`` the stores. It needs the extra ``jconvt[examples]``.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import math
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import matplotlib
import numpy as np
import tensorstore as ts
import volume_store
from jax.sharding import AxisType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from volume_blocks import Program, Upsampling
from volume_store import Region, reported

import jconvt
from jconvt.initializers import bilinear

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MEBI = 2**20
MADE = (96, 128, 160, 1)
MADE_BLOCK = (48, 64, 64)
VIRTUAL_DEVICES = 4
SHOWN = 640


def synthetic(region: Region, shape: Sequence[int]) -> np.ndarray:
    """Return a region of a synthetic volume of this shape: tubes in a ball. Every partition gives the same numbers."""
    places = [np.arange(side.start, side.stop) * (2 / size) - 1 for side, size in zip(region, shape[:3], strict=True)]
    z, y, x, channel = np.meshgrid(*places, np.arange(shape[3]), indexing="ij", sparse=True)
    turn = 14 + channel
    tubes = sum(np.sin(turn * a) * np.cos(turn * b) for a, b in ((z, y), (y, x), (x, z)))
    return (tubes / (1 + np.exp(24 * (np.sqrt(z**2 + y**2 + x**2) - 0.85)))).astype(np.float32)


def make(path: pathlib.Path, shape: Sequence[int]) -> None:
    """Write a synthetic volume, or its missing blocks."""
    settings = {"synthetic": list(shape)}
    store = volume_store.reopened(path, settings)
    if store is None:
        store = volume_store.created(path, settings, shape, MADE_BLOCK)
    fill(store, "making", lambda regions: (synthetic(region, shape) for region in regions))


@contextlib.contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets. An exception could be raised in a JAX callback, which would ignore it."""
    asked = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def fill(store: ts.TensorStore, verb: str, compute: Callable[[list[Region]], Iterator[np.ndarray]]) -> None:
    """Write the missing blocks of the store. A block that extends past the array is cut.

    Raises:
      KeyboardInterrupt: between two blocks, after Ctrl-C.
    """
    missing, total = volume_store.missing(store), len(volume_store.regions(store))
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} of {task.total} blocks")
    with asked_to_stop() as asked, Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task(verb, total=total, completed=total - len(missing))
        blocks = compute(missing)
        for region in missing:
            inside = tuple(slice(side.stop - side.start) for side in region)
            written = store[region].write(
                next(blocks)[inside]
            )  # no variable holds the block while the next is computed
            with reported("a block cannot be written", "free space, and run the same command again, which continues"):
                written.result()
            progress.advance(task)
            if asked.is_set():
                raise KeyboardInterrupt
    print(f"{verb}: of {total} blocks {total - len(missing)} were there, {len(missing)} written now")


def filters_of(options: argparse.Namespace, channels: int) -> np.ndarray:
    """Return ``(kd, kh, kw, out / groups, in)`` filters: a file's, or trilinear interpolation of each channel."""
    if options.filters is None:
        taps = options.kernel_size or 2 * options.stride - options.stride % 2
        if 4 * taps**3 * channels > options.budget * MEBI:
            raise jconvt.ArgumentError(
                "the filters are larger than the budget",
                got=f"{taps} taps along each axis, {channels} channels, --budget {options.budget:g} MiB",
                legal="filters that leave space for a block",
                fix="pass a smaller --stride or --kernel-size, or a larger --budget",
            )
        return np.asarray(bilinear()(jax.random.key(0), (taps, taps, taps, 1, channels)))
    with reported(f"{options.filters} cannot be read", "pass a file of numpy.save: real (kd, kh, kw, out, in)"):
        found = np.load(options.filters, allow_pickle=False)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            raise ValueError("it does not contain one array of real numbers")
        return found.astype(np.float32)


def upsampling(options: argparse.Namespace, volume: ts.TensorStore) -> Upsampling:
    """Return the operation that the options describe."""
    filters = filters_of(options, volume.shape[3])
    groups = volume.shape[3] if options.filters is None else 1
    spec = jconvt.Spec.from_tensorflow(
        (1, *volume.shape), filters.shape, strides=options.stride, padding=options.padding, groups=groups
    )
    devices = jax.devices()[: options.devices]
    if len(devices) < (options.devices or 1):
        raise jconvt.ArgumentError(
            "there are not enough devices",
            got=f"--devices {options.devices}",
            legal=f"1 to {len(devices)}",
            fix="omit --devices to use all of them",
        )
    return Upsampling(spec, filters, jax.make_mesh((len(devices),), ("depth",), (AxisType.Auto,), devices=devices))


def unsplit_memory(up: Upsampling, sizes: Sequence[int]) -> int | None:
    """Return the bytes that one call for the whole volume needs on one device, or None if it does not compile."""
    one = jax.make_mesh((1,), ("depth",), (AxisType.Auto,), devices=jax.devices()[:1])
    try:
        return dataclasses.replace(up, mesh=one).compile(up.spec.output_sizes(sizes)).memory
    except jax.errors.JaxRuntimeError:  # on an accelerator, programs that exceed its memory do not compile
        return None


def mebibytes(count: float) -> str:
    return f"{count / MEBI:.1f} MiB" if count >= MEBI else f"{count / MEBI:.2g} MiB"


def described(store: ts.TensorStore) -> str:
    return f"{store.dtype.name} {store.shape}, {mebibytes(store.size * store.dtype.numpy_dtype.itemsize)}"


def upsample(volume_path: pathlib.Path, path: pathlib.Path, options: argparse.Namespace) -> None:
    """Upsample the volume of one store into another, or compute its missing blocks."""
    volume = volume_store.opened(volume_path)
    description = described(volume)
    print(f"volume {volume_path}: {description}")
    if volume.rank == 3:
        volume = volume[..., ts.newaxis]
    if volume.rank != 4 or 0 in volume.shape or volume.dtype.numpy_dtype.kind not in "biufV":
        raise jconvt.ArgumentError(
            "this is not a volume",
            got=f"{description} in {volume_path}",
            legal="real numbers, (depth, height, width) or (depth, height, width, channels), none of them 0",
            fix="name the array of one volume",
        )
    if volume_store.is_unfinished(volume):
        raise jconvt.ArgumentError(
            "the volume is incomplete",
            got=f"{len(volume_store.missing(volume))} blocks are missing in {volume_path}",
            legal="all of its blocks",
            fix="run the command that makes it again",
        )
    up = upsampling(options, volume)
    settings = {
        "volume": volume_store.fingerprint(volume_path),
        "filters": hashlib.sha256(up.filters.tobytes()).hexdigest()[:16],
        "filters_shape": list(up.filters.shape),
        "stride": options.stride,
        "padding": options.padding,
    }
    sizes, budget = up.spec.output_sizes(volume.shape[:3]), options.budget * MEBI
    store = volume_store.reopened(path, settings)
    if store is None:
        program = up.fitting(sizes, budget)
    else:
        program = up.compile(volume_store.block_size(store))
        program.check(budget)
    whole = unsplit_memory(up, volume.shape[:3])
    print(f"one call for all of it: {'too much' if whole is None else mebibytes(whole)} for one device")
    each = mebibytes(program.memory)
    print(f"a block of {program.block} on {up.mesh.size} devices: {each} of each, budget {mebibytes(budget)}")
    if store is None:
        store = volume_store.created(path, settings, (*sizes, up.channels), program.block)
    print(f"result {path}: {described(store)}")
    fill(store, "upsampling", lambda regions: program.blocks(volume, regions))
    memories = {"one call": whole or 0, "a block": program.memory, "the budget": budget}
    draw(options.output, volume, store, program, memories)
    print(f"picture: {options.output}")


def section(array: ts.TensorStore, depths: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Read depth by width at the middle of the height, subsampled to a size that can be shown."""
    step = max(1, (depths[1] - depths[0]) // SHOWN, (columns[1] - columns[0]) // SHOWN)
    row = array.shape[1] // 2
    with reported("a store cannot be read", "delete it, and run the same command again"):
        return np.asarray(array[slice(*depths, step), row, slice(*columns, step), 0].read().result(), np.float32)


def draw(
    path: pathlib.Path, volume: ts.TensorStore, store: ts.TensorStore, program: Program, memories: Mapping[str, float]
) -> None:
    figure, axes = plt.subplot_mosaic("AABB;CDEE", figsize=(11, 7.6), layout="constrained")
    (depth, _, width), devices = program.block, program.upsampling.mesh.size
    ends = (0, store.shape[0]), (0, store.shape[2])
    # The surroundings of a corner of four blocks, if there are four.
    near = [
        (max(0, min(step, size) - 36), min(size, step + 36))
        for step, (_, size) in zip((depth, width), ends, strict=True)
    ]
    for above, below, array, title in (("A", "C", volume, "volume"), ("B", "D", store, "result")):
        scales = [array.shape[axis] / store.shape[axis] for axis in (0, 2)]
        for name, parts in ((above, ends), (below, near)):
            image = section(
                array, *[(math.floor(a * f), math.ceil(b * f)) for (a, b), f in zip(parts, scales, strict=True)]
            )
            axes[name].imshow(image, "magma", vmin=-1.5, vmax=1.5, extent=(*parts[1], parts[0][1], parts[0][0]))
            axes[name].set(xticks=(), yticks=())
        axes[above].set_title(f"the {title}, {array.shape}: a section")
        axes[below].set_title(f"of the {title}, near a corner", size=10)
    for name, (depths, columns) in (("B", ends), ("D", near)):
        for place in range(0, depths[1], depth // devices):
            if place > depths[0]:
                axes[name].axhline(place, color="w", linewidth=0.7, linestyle="-" if place % depth == 0 else ":")
        for place in range(width, columns[1], width):
            axes[name].axvline(place, color="w", linewidth=0.7)
    bars = axes["E"].barh(list(memories), [bytes / MEBI for bytes in memories.values()], color=("C3", "C0", "C7"))
    axes["E"].bar_label(bars, fmt="%.1f MiB", padding=4)
    axes["E"].set(title="memory of a device", xlabel="MiB", xlim=(0, 1.25 * max(memories.values()) / MEBI))
    axes["E"].invert_yaxis()
    figure.suptitle(f"Blocks of {program.block}, each sharded over {devices} devices (dotted)", weight="bold")
    with reported(f"{path} cannot be written", "free space, or pass another --output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=90)


def shape(text: str) -> tuple[int, ...]:
    """Parse ``"96x128x160"`` as the shape of a volume of one channel, ``"96x128x160x2"`` of two."""
    sizes = tuple(map(int, text.split("x")))
    if len(sizes) not in (3, 4) or min(sizes) < 1:
        raise ValueError(text)
    return (*sizes, 1) if len(sizes) == 3 else sizes


def count(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def positive(text: str) -> float:
    if not float(text) > 0:
        raise ValueError(text)
    return float(text)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description="Upsample a volume that does not fit on one device.")
    add = found.add_argument
    add("volume", nargs="?", type=pathlib.Path, help="a Zarr v3 array; by default one is made under build/examples")
    add("result", nargs="?", type=pathlib.Path, help="the Zarr v3 array to write; by default next to the volume")
    add("--make", type=shape, metavar="DEPTHxHEIGHTxWIDTH", help="make a volume of this shape; xCHANNELS may follow")
    add("--stride", type=count, default=2, help="the factor to enlarge by")
    add("--kernel-size", type=count, help="taps of trilinear interpolation along each axis")
    add("--filters", type=pathlib.Path, metavar="FILE.npy", help="other filters: (kd, kh, kw, out, in)")
    add("--padding", choices=("SAME", "VALID"), default="SAME", help="TensorFlow's padding")
    add("--budget", type=positive, default=4.0, metavar="MIB", help="the memory that a block may use on each device")
    add("--devices", type=count, help=f"their number; on a CPU they are virtual, by default {VIRTUAL_DEVICES}")
    add("--output", type=pathlib.Path, default="build/examples/upsample_volume.png", help="the picture")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    jax.config.update("jax_num_cpu_devices", options.devices or VIRTUAL_DEVICES)
    volume = options.volume or pathlib.Path("build/examples/volume.zarr")
    try:
        if options.make or options.volume is None:
            make(volume, options.make or MADE)
        upsample(volume, options.result or volume.with_name(f"{volume.stem}_upsampled.zarr"), options)
    except KeyboardInterrupt:
        print("upsample_volume: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (jconvt.ArgumentError, RuntimeError) as error:  # JAX raises the latter if a device or its memory is missing
        print(f"upsample_volume: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
