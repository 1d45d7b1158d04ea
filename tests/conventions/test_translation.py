"""The code that is printed for every framework runs, and gives the numbers of the call that it translates."""

import dataclasses
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jconvt
from jconvt._cli import geometry_options, main
from jconvt._conventions.registry import CONVENTIONS
from jconvt._geometry.kernel_layout import KernelConversion, KernelLayout
from jconvt._methods import reference
from jconvt._translation import translate

for needed in ("tensorflow", "torch", "onnxruntime", "flax"):
    pytest.importorskip(needed)

SAME_OR_NUMBERS = {
    "tensorflow": "pairs",
    "jconvt": "pairs",
    "lax": "pairs",
    "flax": "pairs",
    "onnx": "pairs",
    "torch": "one",
}


@st.composite
def questions(draw, source):
    """Options of ``jconvt translate``, of one to three axes."""
    rank = draw(st.integers(1, 3))
    most = {1: 5, 2: 4, 3: 2}[rank]

    def each(lowest, highest):
        return tuple(draw(st.integers(lowest, highest)) for _ in range(rank))

    options = {"stride": each(1, 3), "dilation": each(1, 2)}
    kernel, sizes = each(1, most), each(1, most)
    names = draw(st.sampled_from(["same", "valid", "numbers"]))
    if names == "numbers" and source in SAME_OR_NUMBERS:
        pairs = [(a, a if SAME_OR_NUMBERS[source] == "one" else b) for a, b in zip(each(0, 2), each(0, 2), strict=True)]
        options["padding"] = "x".join(f"{a}:{b}" for a, b in pairs)
    elif source != "torch":
        options["padding"] = "valid" if names == "numbers" else names
    if source in ("torch", "onnx", "keras", "jconvt") and draw(st.booleans()):
        options["output_padding"] = each(0, 1)
    groups = draw(st.sampled_from([1, 1, 2, 3])) if source in ("torch", "onnx", "jconvt") else 1
    if groups > 1:
        options["groups"] = groups
    channels = (groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3)))
    return rank, sizes, kernel, options, channels


def stated(draw, source):
    """A question's translation to every framework that can express it, and its operands."""
    rank, sizes, kernel, options, channels = draw(questions(source))
    arguments = geometry_options.given(options, source, rank)
    try:
        own = translate(source, "jconvt", sizes, kernel, arguments, channels=channels, batch=2)
    except jconvt.ArgumentError:
        assume(False)
    assume(min(own.output_shape) > 0)
    found = {"jconvt": own}
    for target in CONVENTIONS:
        if own.spec.groups > 1 and target in ("lax", "flax", "keras"):
            with pytest.raises(jconvt.ArgumentError, match="groups"):
                translate(source, target, sizes, kernel, arguments, channels=channels, batch=2)
        else:  # nothing else is beyond a framework here
            found[target] = translate(source, target, sizes, kernel, arguments, channels=channels, batch=2)
    return found


def definition(found, x, w):
    """The NumPy loop's result, in the source's order."""
    first = found.source.layout.channels_first
    last = np.moveaxis(x, 1, -1) if first else x
    y = reference.transpose(last.astype(np.float64), found.source.kernel.filters(w).astype(np.float64), found.spec)
    return np.moveaxis(y, -1, 1) if first else y


def on_any_cpu(code, call):
    """The program, with jconvt's function in place of TensorFlow's, whose CPU kernels do not support every call."""
    spatial = call.arguments.get("dilations") or call.arguments.get("dilation_rate") or (1,)
    spatial = (spatial,) if isinstance(spatial, int) else spatial
    padding = call.arguments.get("padding")
    beyond = call.function.startswith("keras.") and "output_padding" in call.arguments  # Keras on JAX takes more of it
    if max(spatial) == 1 and not beyond and (call.layout.rank == 2 or isinstance(padding, str)):
        return code
    code = code.replace("import tensorflow as tf", "import jconvt").replace("tf.nn.", "jconvt.tensorflow.")
    code = code.replace(").numpy()", ")") if call.function.startswith("tf.") else code
    code = code.replace("import keras", "import jconvt").replace(
        "keras.ops.conv_transpose", "jconvt.keras.conv_transpose"
    )
    return code.replace("keras.ops.convert_to_numpy", "np.asarray")


def run(code, **names):
    """Run a program and return its variables."""
    space = {"np": np, **names}
    exec(code, space)
    return space


def operands(found):
    rng = np.random.default_rng(0)
    return (rng.integers(-9, 10, shape).astype(np.float32) for shape in (found.input_shape, found.kernel_shape))


@pytest.mark.parametrize("source", CONVENTIONS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_translate__printed_code_gives_the_same_numbers(source, data):
    found = stated(data.draw, source)
    x, w = operands(found["jconvt"])
    expected = definition(found["jconvt"], x, w)
    for target, each in found.items():
        if each.spec.groups > 1 and "tensorflow" in (source, target):
            continue  # TensorFlow's CPU kernels have no groups
        y = run(on_any_cpu(each.source_code, each.source), x=x, w=w)["y"]
        np.testing.assert_array_equal(y, expected, err_msg=each.source_code)
        z = run(on_any_cpu(each.target_code, each.target), x=x, w=w)["z"]
        np.testing.assert_array_equal(z, expected, err_msg=each.target_code)


@pytest.mark.parametrize("source", CONVENTIONS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_translate__exact_call_resolves_to_the_geometry(source, data):
    for target, each in stated(data.draw, source).items():
        if not each.target.exact:
            continue
        convention = {"tensorflow": jconvt.Spec.from_tensorflow, "jconvt": jconvt.Spec.from_tensorflow}.get(target)
        convention = convention or getattr(jconvt.Spec, f"from_{target}")
        source_layout, layout = each.source.layout, each.target.layout
        channel = source_layout.channel_axis
        shape = layout.shape(each.input_shape[0], source_layout.spatial(each.input_shape), each.input_shape[channel])
        kernel = each.target.kernel.shape(each.source.kernel.filters_shape(each.kernel_shape))
        arguments = {name: value for name, value in each.target.arguments.items() if name != "kernel_size"}
        if target == "lax":
            arguments = {"strides": arguments["strides"], **arguments}
        assert convention(shape, kernel, **arguments) == each.spec


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize(
    "one", [KernelLayout((0, 1, 2, 3)), KernelLayout((3, 2, 0, 1)), KernelLayout((0, 1, 3, 2), True)]
)
@pytest.mark.parametrize(
    "other", [KernelLayout((0, 1, 2, 3)), KernelLayout((3, 2, 0, 1)), KernelLayout((0, 1, 3, 2), True, 3)]
)
def test_kernel_conversion__inverse_and_code(one, other, groups):
    other = dataclasses.replace(other, output_groups=groups if other.flipped else 1)
    convert = KernelConversion(one, other)
    filters = np.random.default_rng(0).standard_normal((2, 4, 5, 6))
    kernel = one.kernel(filters)
    assert kernel.shape == one.shape(filters.shape)
    np.testing.assert_array_equal(convert.inverse(convert(kernel)), kernel)
    np.testing.assert_array_equal(convert(kernel), eval(convert.code("kernel", kernel.shape)))
    back = eval(convert.inverse.code("kernel", convert(kernel).shape), {"kernel": convert(kernel)})
    np.testing.assert_array_equal(back, kernel)


def test_translate__missing_flip_is_seen():
    found = translate("torch", "flax", (4, 4), (3, 3), {"stride": 2}, channels=(2, 3))
    x, w = operands(found)
    expected = definition(found, x, w)
    np.testing.assert_array_equal(run(found.target_code, x=x, w=w)["z"], expected)
    assert "[::-1, ::-1]" in found.target_code
    broken = run(found.target_code.replace("[::-1, ::-1]", ""), x=x, w=w)["z"]
    assert (np.asarray(broken) != expected).any()


COMMAND = [
    "translate",
    "--from",
    "torch",
    "--to",
    "flax",
    "--input",
    "16x16",
    "--kernel",
    "4",
    "--stride",
    "2",
    "--padding",
    "1",
]


def test_translate__command_prints_a_program():
    # In a separate process, as a user runs it.
    found = subprocess.run([sys.executable, "-m", "jconvt", *COMMAND], capture_output=True, text=True, check=True)
    x = np.random.default_rng(0).integers(-9, 10, (1, 8, 16, 16)).astype(np.float32)
    w = np.random.default_rng(1).integers(-9, 10, (8, 4, 4, 4)).astype(np.float32)
    space = run(found.stdout, x=x, w=w)
    assert space["y"].shape == space["z"].shape == (1, 4, 32, 32)
    np.testing.assert_array_equal(space["y"], space["z"])
    assert "x (1, 8, 16, 16), w (8, 4, 4, 4) -> (1, 4, 32, 32)" in found.stdout


@pytest.mark.parametrize("target", CONVENTIONS)
def test_translate__call_is_exact_unless_torch(target):
    # Crop (0, 1), as TensorFlow's SAME: PyTorch cannot; Keras and TensorFlow have it.
    spec = jconvt.Spec((jconvt.Axis(3, 2, 1, 0, 1),))
    call = CONVENTIONS[target].call(spec, (1, 4, 1), (3, 1, 1))
    assert call.exact == (target not in ("torch",))


WRONG = [
    (["--to", "caffe"], "invalid choice: 'caffe'"),
    (["--input", "16xx16"], "'16xx16': expected an integer"),
    (["--kernel", "4x4x4"], "kernel has the wrong number.*got.*4x4x4.*1 or 2"),
    (["--kernel", "0"], "kernel|tap"),
    (["--stride", "0"], "stride"),
    (["--padding", "1:2"], "PyTorch pads both ends equally"),
    (["--padding", "half"], "unknown --padding"),
    (["--padding", "1x1x1"], "wrong number of axes"),
    (["--output-padding", "2"], "output_padding"),
    (["--groups", "3"], "groups does not divide"),
    (["--groups", "0"], "at least 1"),
    (["--groups", "2"], "has no groups"),
    (["--from", "keras", "--padding", "1"], "Keras has no numbers"),
    (["--from", "flax", "--output-padding", "1"], "has no output padding"),
    (["--from", "lax", "--groups", "2"], "has no groups"),
    (["--channels", "1x2x3"], "channels has the wrong number"),
]


@pytest.mark.parametrize(("changed", "message"), WRONG, ids=lambda value: "".join(value)[:30])
def test_translate__wrong_option_exits(capsys, changed, message):
    try:
        status = main.main([*COMMAND, *changed])
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2
    assert re.search(message, printed.err, re.S), printed.err
    assert "Traceback" not in printed.err


def test_translate__every_pair_of_frameworks():
    for source, target in itertools.permutations(CONVENTIONS, 2):
        options = {"stride": (2, 2), **({} if source == "torch" else {"padding": "valid"})}
        found = translate(source, target, (4, 4), (2, 2), geometry_options.given(options, source, 2))
        assert found.output_shape[1:].count(8) == 2
        assert str(found).startswith(f"# {source}: x")


BAD = [
    (("torch", "flax", (4,), (3,), {"groups": 0}), "groups is out of range|groups must be"),
    (("torch", "lax", (4,), (3,), {"strides": 2}), "not those of torch.*'strides' unknown.*stride, padding"),
    (("lax", "torch", (4,), (3,), {"padding": "SAME"}), "not those of lax.*no 'strides'|no strides"),
    (
        ("lax", "torch", (4,), (3,), {"strides": (1,), "padding": "SAME", "dimension_numbers": None}),
        "unknown.*default order",
    ),
    (("tensorflow", "torch", (8,), (3,), {"padding": ((0, 0), (1, 1), (0, 0))}), "explicit padding in 2-D only"),
    (("lax", "torch", (0,), (3,), {"strides": (2,), "padding": "SAME"}), r"sizes\[0\]"),
    (("flax", "torch", (4,), (3,), {"padding": -1}), "padding removes more|nothing to compute"),
    (("flax", "torch", (4,), (3,), {"groups": 2}), "not those of flax.*'groups' unknown"),
    (("flax", "torch", (4,), (3,), {"use_consistent_padding": True}), "not those of flax.*'use_consistent_padding'"),
    (("keras", "onnx", (1,), (2,), {"strides": 3, "padding": "same", "output_padding": 0}), "nothing to compute"),
    (("torch", "caffe", (4,), (3,), {}), "unknown target framework"),
]


@pytest.mark.parametrize(("question", "message"), BAD, ids=lambda value: str(value)[:40])
def test_translate__wrong_call_raises(question, message):
    with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError)) as raised:
        translate(*question)
    assert re.search(message, str(raised.value), re.S), raised.value


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("source", CONVENTIONS)
def test_translate__without_options_is_the_default_call(source, rank):
    found = translate(
        source, "torch", (4,) * rank, (3,) * rank, geometry_options.given({}, source, rank), channels=(2, 3)
    )
    x, w = operands(found)
    np.testing.assert_array_equal(run(found.source_code, x=x, w=w)["y"], definition(found, x, w))


def test_translate__onnx_keeps_a_position_to_crop():
    # Nearly all of the one stamp is cropped, and zeros follow it.
    found = translate("flax", "onnx", (2,), (1,), {"padding": ((-2, 5),)}, channels=(2, 3))
    x, w = operands(found)
    np.testing.assert_array_equal(run(found.target_code, x=x, w=w)["z"], definition(found, x, w))


@pytest.mark.parametrize("shapes", [(None, (3, 2, 2)), ((), (3, 2, 2)), ((1, 4, 2), ()), ((1, 4, 2), [2, 2])])
def test_to_tensorflow__shapes_of_another_rank_raise(shapes):
    with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError), match=r"input_shape|filters_shape"):
        jconvt.Spec((jconvt.Axis(3),)).to_tensorflow(*shapes)
