"""The objects of the library hold no code of one instruction set that the linker could use for another."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from jconvt import _native

LIBRARY = _native._path()
OBJECTS = sorted(pathlib.Path(__file__).parents[2].glob("build/native/CMakeFiles/kernels_*.dir/kernels.cc.o"))
pytestmark = pytest.mark.skipif(
    shutil.which("nm") is None or sys.platform != "linux", reason="needs nm and ELF files, which only Linux has"
)


def symbols(path: pathlib.Path, *options: str) -> dict[str, str]:
    """Return the symbols that a file defines, and the kind of each, a letter."""
    done = subprocess.run(["nm", "--defined-only", *options, path], capture_output=True, text=True, check=True)
    return {name: kind for _, kind, name in map(str.split, done.stdout.splitlines())}


def shared_by_instruction_sets(symbols: dict[str, str], instruction_set: str) -> list[str]:
    """Return the symbols of which the linker keeps one copy for all instruction sets."""
    # The copies differ if they are of this namespace, or a template with an argument of this namespace.
    own = re.compile(f"(6jconvt|S_){len(instruction_set)}{instruction_set}")  # S_ is jconvt, where the name repeats it
    # To catch exceptions, each object has a pointer to the C++ runtime's handler: it is not code.
    return [name for name, kind in symbols.items() if kind in "VWu" and not own.search(name) and "DW.ref." not in name]


@pytest.mark.skipif(not OBJECTS, reason="the kernels were not built in place: see CONTRIBUTING.md")
@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.parent.stem)
def test_objects__share_no_code(path):
    instruction_set = path.parent.stem.removeprefix("kernels_")
    found = symbols(path)
    assert any(f"jconvt{len(instruction_set)}{instruction_set}7compute" in name for name in found)
    assert shared_by_instruction_sets(found, instruction_set) == []


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_objects__shared_code_is_found(tmp_path):
    source = tmp_path / "kernels.cc"
    source.write_text("""
#include <vector>
namespace jconvt::avx2 {
template <class T> T twice(T a) { return a + a; }
template int twice(int);
void append(std::vector<int> &sizes) { sizes.push_back(twice(1)); }
}  // namespace jconvt::avx2
""")
    subprocess.run(["c++", "-O0", "-c", source, "-o", tmp_path / "kernels.o"], check=True)
    shared = shared_by_instruction_sets(symbols(tmp_path / "kernels.o"), "avx2")
    assert any("push_back" in name for name in shared)
    assert not any("twice" in name for name in shared)


@pytest.mark.skipif(LIBRARY is None, reason="the kernels are not built")
def test_library__exports_only_its_interface():
    names = {*_native._HANDLERS.values(), "jconvt_abi", "jconvt_scratch_bytes", "jconvt_select"}
    assert {*symbols(LIBRARY, "--dynamic")} == names
