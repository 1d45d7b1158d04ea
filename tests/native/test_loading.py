"""The library of the kernels loads once. Where it is missing or does not load, this is reported, and the rest works."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import warnings

import jax
import pytest

import jconvt
from jconvt import _native
from jconvt.__main__ import main

LIBRARY = _native._path()
needs_library = pytest.mark.skipif(LIBRARY is None, reason="the kernels are not built")
needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
LAYER = ["choose", "--input", "4", "--kernel", "3", "--platform", "cpu"]


@pytest.fixture
def new_process(monkeypatch):
    """Forget what is loaded, as in a new process, which finds the given file and environment."""

    def new_process(path=LIBRARY, **environment):
        for name in ("JCONVT_NATIVE", "JCONVT_NATIVE_ISA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(_native, "_path", lambda: path)
        _native._load.cache_clear()

    yield new_process
    monkeypatch.undo()
    _native._load.cache_clear()


@pytest.fixture
def compiled(tmp_path):
    """Return a function that makes a library from C code."""

    def compiled(code: str) -> pathlib.Path:
        source, library = tmp_path / "library.cc", tmp_path / "libjconvt.so"
        source.write_text(f'extern "C" {{ {code} }}')
        subprocess.run(["c++", "-shared", "-fPIC", "-o", library, source], check=True)
        return library

    return compiled


def run(code: str, **environment: str) -> str:
    """Run Python code in a process of its own, and return what it prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import__does_not_load_the_library():
    assert run("import jconvt._native; print(jconvt._native._load.cache_info().currsize)") == "0"


@needs_library
def test_library__threads_load_it_once(new_process, monkeypatch):
    new_process()
    opened, barrier, original = [], threading.Barrier(8), _native._open
    monkeypatch.setattr(_native, "_open", lambda path: opened.append(path) or original(path))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda _: (barrier.wait(), _native.loaded_library())[1], range(8))]
    assert opened == [LIBRARY]
    assert found[0] is not None
    assert all(each is found[0] for each in found)


@needs_library
@pytest.mark.parametrize("target", _native.TARGETS.values())
def test_library__is_registered(target):
    assert _native.loaded_library() is not None
    assert target.endswith(f"_{_native.ABI}")
    one = jax.ShapeDtypeStruct((1,), "float32")
    with pytest.raises(jax.errors.JaxRuntimeError, match="Wrong number of arguments"):
        jax.ffi.ffi_call(target, one)()


@needs_library
def test_status__with_the_library(new_process):
    new_process()
    status = jconvt.native_status()
    assert (status.reason, status.fix) == (None, None)
    assert str(status) == f"The compiled CPU kernels are in use: instruction set {status.instruction_set}"


def test_status__without_the_library_says_how_to_get_it_and_does_not_warn(new_process):
    new_process(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status = jconvt.native_status()
    assert (_native.loaded_library(), status.instruction_set) == (None, None)
    assert "there was no C++ compiler" in status.reason
    assert "pip install --force-reinstall --no-deps ." in status.fix


def test_status__switched_off(new_process):
    new_process(JCONVT_NATIVE="0")
    assert _native.loaded_library() is None
    assert "unset JCONVT_NATIVE" in str(jconvt.native_status())


@needs_library
def test_status__switched_on(new_process):
    new_process(JCONVT_NATIVE="1")
    assert _native.loaded_library() is not None


@pytest.mark.parametrize("value", ["", "off", "2"])
def test_status__raises_for_an_unknown_switch_each_time(new_process, value):
    new_process(JCONVT_NATIVE=value)
    for function in (jconvt.native_status, _native.loaded_library):
        with pytest.raises(jconvt.ArgumentError, match=rf"got: +JCONVT_NATIVE={value}\n  legal: 0 or 1"):
            function()


SHOW = """import jconvt
try:
    print(jconvt.native_status())
except jconvt.ArgumentError as error:
    print(error)"""


@needs_library
def test_status__takes_the_instruction_set_of_the_environment():
    assert run(SHOW, JCONVT_NATIVE_ISA="baseline").endswith("instruction set baseline")
    shown = run(SHOW, JCONVT_NATIVE_ISA="avx9")
    assert "JCONVT_NATIVE_ISA=avx9" in shown
    assert "legal: avx512_bf16, avx512, avx2 or baseline" in shown


@needs_library
def test_status__reads_the_instruction_set_again_after_an_error():
    shown = run(SHOW + "\nimport os; os.environ['JCONVT_NATIVE_ISA'] = 'baseline'\n" + SHOW, JCONVT_NATIVE_ISA="avx9")
    assert "JCONVT_NATIVE_ISA=avx9" in shown
    assert shown.endswith("instruction set baseline")


ABI = f"int jconvt_abi() {{ return {_native.ABI}; }}"
SELECT = 'const char *jconvt_select(const char *) { return "baseline"; } void jconvt_scratch_bytes() {}'
HANDLERS = "".join(f"void *{handler}(void *) {{ return 0; }}" for handler in _native._HANDLERS.values())
BROKEN = {
    "int other;": "jconvt_abi",
    "int jconvt_abi() { return 1000; }": r"another version of jconvt \(interface 1000, expected \d+\)",
    ABI: "jconvt_scratch_bytes",
    ABI + SELECT: "jconvt_transpose",
    # A handler without the metadata of XLA's FFI, as one of another version of it.
    ABI + SELECT + HANDLERS: "API version",
}


def check_reports_once_and_computes(path, reason):
    with pytest.warns(RuntimeWarning, match=f"does not load: .*{reason}") as caught:
        assert _native.loaded_library() is None
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status = jconvt.native_status()
    assert str(path) in status.reason
    assert "JCONVT_NATIVE=0" in status.fix
    y = jconvt.conv1d_transpose([[[1.0], [2.0]]], [[[1.0]], [[1.0]]], strides=2)
    assert [*y[0, :, 0]] == [1, 1, 2, 2]


@needs_compiler
@pytest.mark.parametrize(("code", "reason"), BROKEN.items(), ids=BROKEN.values())
def test_broken__code_is_reported_once(new_process, compiled, code, reason):
    new_process(path := compiled(code))
    check_reports_once_and_computes(path, reason)


@needs_library
@pytest.mark.parametrize("part", [0, 1e-6, 1e-5, 1e-4, 1e-3, 0.1, 0.5, 0.9])
def test_broken__truncated_file_is_reported_once(new_process, tmp_path, part):
    content = LIBRARY.read_bytes()
    path = tmp_path / "libjconvt.so"
    path.write_bytes(content[: int(len(content) * part)])
    new_process(path)
    check_reports_once_and_computes(path, "")


def test_broken__other_file_is_reported_once(new_process, tmp_path):
    path = tmp_path / "libjconvt.so"
    path.write_bytes(b"not a library" * 100)
    new_process(path)
    check_reports_once_and_computes(path, "")


def test_choose__says_what_is_missing(new_process, capsys):
    new_process(None)
    assert main(LAYER) == 0
    assert capsys.readouterr().err == f"{jconvt.native_status()}\n"
    new_process(JCONVT_NATIVE="0")
    assert main([*LAYER[:-1], "tpu"]) == 0
    assert capsys.readouterr().err == ""


@needs_library
def test_choose__says_nothing_if_nothing_is_missing(new_process, capsys):
    new_process()
    assert main(LAYER) == 0
    assert capsys.readouterr().err == ""


def test_check__says_whether_the_kernels_are_in_use(new_process, capsys):
    for path in {None, LIBRARY}:
        new_process(path)
        assert main(["check", "--quick", "--method", "reference"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert shown.count(" ".join(str(jconvt.native_status()).split())) == 1
