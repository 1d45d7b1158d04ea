"""Zip archives of strangers: checked as a whole before a member is read, and never unpacked on disk."""

import pathlib
import zipfile

from .broken import broken

_MOST_MEMBERS = 1_000_000


def members(path: pathlib.Path, archive: zipfile.ZipFile, what: str) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by name, once all of them are uncompressed, inside the archive, and of different names."""
    found: dict[str, zipfile.ZipInfo] = {}
    left = path.stat().st_size
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS:
        raise broken(path, what, f"{len(infos)} members")
    for info in infos:
        name = info.filename
        if name in found:
            raise broken(path, what, f"two members of the name {name!r}")
        if name.startswith(("/", "\\")) or ".." in pathlib.PurePosixPath(name.replace("\\", "/")).parts or ":" in name:
            raise broken(path, what, f"a member outside the archive's folder: {name!r}")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise broken(
                path,
                what,
                f"member {name!r} is compressed or encrypted",
                "save it again as its framework does, which stores members as they are; or zip it again with zip -0",
            )
        left -= info.file_size
        if left < 0 or info.file_size != info.compress_size:
            raise broken(path, what, f"member {name!r} of {info.file_size} bytes, more than the file has")
        found[name] = info
    return found
