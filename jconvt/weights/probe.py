"""Whether the HDF5 library survives a file: a program of its own, so that only it crashes or never ends.

    python probe.py BYTES < FILE

A few wrong bytes are enough for that library to loop forever or to write where it may not. So everything that is read
later, but the numbers, is read here first, with BYTES of memory at most. It imports nothing of jconvt, to be quick.
"""

import contextlib
import io
import sys

import h5py


def main() -> None:
    """Reads all names and attributes of the file that is the standard input."""
    with contextlib.suppress(ImportError, ValueError):
        import resource  # not on every system

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
            # Other links are not followed, and groups that are their own ancestors are not descended into again.
            if type(item.get(name, getlink=True)) is h5py.HardLink and (inner := item[name]).id not in seen:
                seen.add(inner.id)
                _visit(inner, seen)


if __name__ == "__main__":
    main()
