"""A program that fails if the HDF5 library cannot read a file. Only its process crashes or hangs.

    python _hdf5_probe.py BYTES < FILE

A few wrong bytes can make that library loop forever or write outside its memory. So everything that is read later,
except the numbers, is read here first, with at most BYTES of memory. It imports nothing of jconvt, to start quickly.
"""

import contextlib
import io
import sys

import h5py


def main() -> None:
    """Read all names and attributes of the file in the standard input."""
    with contextlib.suppress(ImportError, ValueError):
        import resource  # does not exist on every system

        most = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with h5py.File(io.BytesIO(sys.stdin.buffer.read()), "r") as file:
        _visit(file, {file.id})


def _visit(item: object, seen: set[object]) -> None:
    list(item.attrs.items())  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(item, h5py.Dataset):
        plist = item.id.get_create_plist()
        _ = (item.shape, item.dtype, item.is_virtual, item.external, plist.get_nfilters(), item.id.get_storage_size())
    if isinstance(item, h5py.Group):
        for name in item:
            # Other links are not followed, and no group is visited twice.
            if type(item.get(name, getlink=True)) is h5py.HardLink and (inner := item[name]).id not in seen:
                seen.add(inner.id)
                _visit(inner, seen)


if __name__ == "__main__":
    main()
