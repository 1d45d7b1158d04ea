"""Against Keras: on JAX, which is followed everywhere, and on TensorFlow and PyTorch, where they compute.

Keras chooses its backend when it is imported, so each backend answers from a process of its own.
"""

import importlib.util
import os
import pickle
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jconvt import ArgumentError, ArgumentTypeError, Axis, Spec
from jconvt import keras as front
from jconvt._conventions import keras as convention
from jconvt._core import operation
from jconvt.keras import conv_transpose
from tests.support.conventions import assert_raises, broken, finished, integers, traced
from tests.support.drop_ins import assert_drop_in, held, in_any_case

ANSWER = r"""
import os, pickle, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # whatever libraries print goes elsewhere
import keras
while True:
    try:
        x, w, keywords, cotangent = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        if cotangent is None:
            answer = keras.ops.convert_to_numpy(keras.ops.conv_transpose(x, w, **keywords))
        else:
            import jax, numpy
            _, pullback = jax.vjp(lambda x, w: keras.ops.conv_transpose(x, w, **keywords), x, w)
            answer = [numpy.asarray(gradient) for gradient in pullback(cotangent)]
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    pickle.dump(answer, answers)
    answers.flush()
"""


class Keras:
    """Keras on one backend. An error comes back as its text."""

    def __init__(self, process):
        self.process = process

    def __call__(self, x, w, cotangent=None, **keywords):
        pickle.dump((x, w, keywords, cotangent), self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)


def keras_on(backend, home):
    environment = {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(home),  # no settings but the defaults
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # kernels that check sizes, and whose sums are exact
    }
    return subprocess.Popen(
        [sys.executable, "-c", ANSWER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Keras on every backend, started at once: importing a backend takes seconds."""
    started = {}
    for backend in ("jax", "tensorflow", "torch"):
        if all(importlib.util.find_spec(module) is not None for module in ("keras", backend)):
            started[backend] = keras_on(backend, tmp_path_factory.mktemp(backend))
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def answering(processes, backend):
    if backend not in processes:
        pytest.skip(f"Keras on {backend} is not installed")
    return Keras(processes[backend])


@pytest.fixture(scope="module")
def on_jax(processes):
    return answering(processes, "jax")


@pytest.fixture(scope="module")
def on_tensorflow(processes):
    return answering(processes, "tensorflow")


@pytest.fixture(scope="module")
def on_torch(processes):
    return answering(processes, "torch")


@st.composite
def calls(draw, rank):
    """Operands and keywords of ``keras.ops.conv_transpose``."""
    most = {1: 5, 2: 4, 3: 3}[rank]
    each = [[draw(st.integers(1, top)) for _ in range(rank)] for top in (most, most + 1, 3, 3)]
    sizes, kernel, strides, dilations = map(tuple, each)
    keywords = {"padding": draw(st.sampled_from(("valid", "same", "SAME")))}
    if draw(st.booleans()):
        keywords["strides"] = draw(st.sampled_from((strides, strides[0])))
    if draw(st.booleans()):
        keywords["dilation_rate"] = draw(st.sampled_from((list(dilations), dilations[0])))
    if draw(st.booleans()):
        paddings = tuple(draw(st.integers(0, 4)) for _ in range(rank))
        keywords["output_padding"] = draw(st.sampled_from((paddings, paddings[0])))
    taken, out, batch = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    shape = (batch, *sizes, taken)
    if draw(st.booleans()):
        keywords["data_format"] = draw(st.sampled_from(("channels_last", "channels_first")))
        if keywords["data_format"] == "channels_first":
            shape = (batch, taken, *sizes)
    return (*integers(shape, (*kernel, out, taken)), keywords)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_keras__equals_keras(rank, on_jax, on_tensorflow, on_torch):
    @settings(max_examples=15, deadline=None)
    @given(calls(rank))
    def check(drawn):
        x, w, keywords = drawn
        y = conv_transpose(x, w, method="reference", **keywords)
        np.testing.assert_array_equal(y, on_jax(x, w, **keywords))
        for other in (on_tensorflow, on_torch):
            answer = other(x, w, **keywords)
            # PyTorch has no empty results. Older releases of Keras have another crop on it: see below.
            if not isinstance(answer, str) and not (other is on_torch and odd_crop(x, w, keywords)):
                np.testing.assert_array_equal(y, answer)

    check()


def odd_crop(x, w, keywords):
    axes = convention.resolve(x.shape, w.shape, **keywords)[0].axes
    return any(axis.lo + axis.hi > 0 and (axis.lo + axis.hi) % 2 for axis in axes)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_keras__every_output_padding_equals_keras(stride, kernel, dilation, padding, on_jax, on_tensorflow):
    x, w = integers((1, 3, 2), (kernel, 2, 2))
    extent = (kernel - 1) * dilation + 1
    for plus in (None, *range(stride + 3)):
        keywords = dict(strides=stride, padding=padding, output_padding=plus, dilation_rate=dilation)
        expected = on_jax(x, w, **keywords)
        call = convention.call(convention.resolve(x.shape, w.shape, **keywords)[0])
        np.testing.assert_array_equal(conv_transpose(x, w, method="reference", **keywords), expected)
        # TensorFlow has a size for each input that its forward convolution takes back to it.
        lowest = 1 - extent % 2 if padding == "same" else 0
        legal = plus is None or lowest <= plus < lowest + stride
        assert call.exact or not legal
        if dilation == 1:
            answer = on_tensorflow(x, w, **keywords)
            assert isinstance(answer, str) is not legal
            if legal:
                np.testing.assert_array_equal(answer, expected)


def test_keras__even_kernel_with_output_padding_0_follows_jax(on_jax, on_tensorflow):
    x, w = integers((1, 3, 1), (2, 1, 1))
    keywords = dict(strides=2, padding="same", output_padding=0)
    canvas = conv_transpose(x, w, 2)
    np.testing.assert_array_equal(conv_transpose(x, w, **keywords), canvas[:, 1:-1])
    np.testing.assert_array_equal(on_jax(x, w, **keywords), canvas[:, 1:-1])
    assert "InvalidArgumentError" in on_tensorflow(x, w, **keywords)
    x = x[:, :1]  # one pixel: nothing is left
    assert conv_transpose(x, w, **keywords).shape == on_jax(x, w, **keywords).shape == (1, 0, 1)


def test_keras__odd_crop_is_smaller_at_the_start(on_jax, on_torch):
    x, w = np.ones((1, 1, 1), np.float32), np.array([1, 10, 100], np.float32).reshape(3, 1, 1)
    keywords = dict(strides=2, padding="same")
    y = conv_transpose(x, w, **keywords)
    np.testing.assert_array_equal(y.ravel(), [1, 10])
    np.testing.assert_array_equal(on_jax(x, w, **keywords), y)
    # Keras's older releases answer [10, 100] on PyTorch (keras-team/keras 22876).
    assert on_torch(x, w, **keywords).ravel().tolist() in ([1, 10], [10, 100])


def test_keras__output_padding_none_is_not_0(on_jax):
    x, w = integers((1, 3, 1), (1, 1, 1))
    for padding, sizes in (("valid", (9, 7)), ("same", (9, 7))):
        for plus, size in zip((None, 0), sizes, strict=True):
            keywords = dict(strides=3, padding=padding, output_padding=plus)
            assert conv_transpose(x, w, **keywords).shape == on_jax(x, w, **keywords).shape == (1, size, 1)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first", "Channels_First"])
def test_keras__groups_equal_separate_calls(data_format, on_jax):
    groups, channel = 3, -1 if data_format == "channels_last" else 1
    x, w = integers((2, 4, 5, 6) if channel == -1 else (2, 6, 4, 5), (3, 2, 2, 6))
    keywords = dict(strides=(2, 3), padding="same", data_format=data_format)
    parts = zip(np.split(x, groups, channel), np.split(w, groups, -1), strict=True)
    expected = np.concatenate([on_jax(*part, **keywords) for part in parts], channel)
    np.testing.assert_array_equal(conv_transpose(x, w, groups=groups, **keywords), expected)


def test_keras__gradients_equal_keras(on_jax):
    x, w = integers((2, 3, 4, 3), (3, 2, 2, 3))
    keywords = dict(strides=(2, 3), padding="same", output_padding=(1, 2), dilation_rate=(1, 2))
    y, pullback = jax.vjp(lambda x, w: conv_transpose(x, w, **keywords), x, w)
    (cotangent,) = integers(y.shape)
    for gradient, expected in zip(pullback(cotangent), on_jax(x, w, cotangent, **keywords), strict=True):
        np.testing.assert_array_equal(gradient, expected)


def test_keras__jit_of_vmap():
    x, w = integers((3, 2, 4, 2), (3, 1, 2))
    expected = jnp.stack([conv_transpose(one, w, 2, "same") for one in x])
    together = jax.jit(jax.vmap(lambda x: conv_transpose(x, w, 2, "same")))
    np.testing.assert_array_equal(together(x), expected)


def test_keras__four_axes_channels_first():
    x, w = integers((1, 2, 2, 2, 2, 3), (2, 1, 2, 2, 1, 3))
    y = conv_transpose(x, w, 2, "same", method="reference")
    moved = conv_transpose(np.moveaxis(x, -1, 1), w, 2, "same", None, "channels_first", method="reference")
    np.testing.assert_array_equal(np.moveaxis(moved, 1, -1), y)


def test_keras__axis_without_pixels_gives_what_keras_gives_on_jax(on_jax):
    _, w = integers((1,), (3, 1, 1))
    empty = np.zeros((1, 0, 1), np.float32)
    for arguments, size in (((2,), 2), ((5,), 4), ((2, "same"), 1), ((5, "same", 4), 4), ((1, "valid"), 2)):
        keywords = dict(zip(("strides", "padding", "output_padding"), arguments, strict=False))
        assert conv_transpose(empty, w, **keywords).shape == on_jax(empty, w, **keywords).shape == (1, size, 1)


def test_keras__data_format_is_the_setting_of_an_imported_keras(monkeypatch):
    x, w = integers((1, 2, 2), (3, 1, 2))
    setting = "channels_first"
    backend = types.SimpleNamespace(image_data_format=lambda: setting)
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(backend=backend))
    first, last = (conv_transpose(x, w, data_format=name) for name in ("channels_first", "channels_last"))
    assert first.shape != last.shape
    np.testing.assert_array_equal(conv_transpose(x, w), first)
    spec, layout = convention.resolve(x.shape, w.shape)
    assert (layout.channels_first, convention.CONVENTION.layout(1, {}).channels_first) == (True, True)
    assert "data_format" not in convention.call(spec, channels_first=True).arguments
    assert convention.call(spec).arguments["data_format"] == "channels_last"
    setting = "channels_last"
    np.testing.assert_array_equal(conv_transpose(x, w), last)
    for absent in (None, types.ModuleType("keras")):  # blocked, or imported in part
        monkeypatch.setitem(sys.modules, "keras", absent)
        np.testing.assert_array_equal(conv_transpose(x, w), last)
    monkeypatch.delitem(sys.modules, "keras")
    np.testing.assert_array_equal(conv_transpose(x, w), last)


def test_keras__symbolic_sizes_give_the_same_geometry():
    batch, width = jax.export.symbolic_shape("b, n")
    for padding in ("valid", "same"):
        for plus in (None, 1):
            symbolic = convention.resolve((batch, width, 2), (3, 1, 2), 2, padding, plus)
            assert symbolic == convention.resolve((5, 7, 2), (3, 1, 2), 2, padding, plus)
    x = jax.ShapeDtypeStruct((batch, width, 2), jnp.float32)
    exported = jax.export.export(jax.jit(lambda x: conv_transpose(x, jnp.ones((3, 1, 2), x.dtype), 2, "same")))(x)
    assert exported.out_avals[0].shape == (batch, 2 * width, 1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_keras__call_resolves_to_the_geometry(data):
    rank = data.draw(st.integers(1, 3))
    x, w, keywords = data.draw(calls(rank))
    spec, layout = convention.resolve(x.shape, w.shape, **keywords)
    call = convention.call(spec, layout.channels_first)
    computed, computed_layout = convention.resolve(x.shape, w.shape, **call.arguments)
    assert computed_layout == layout
    assert call.exact is (computed.axes == spec.axes)
    assert set(call.arguments) <= {"strides", "padding", "output_padding", "data_format", "dilation_rate"}
    eval(repr(dict(call.arguments)), {"__builtins__": {}})  # literals
    if "output_padding" not in keywords:
        assert call.exact


def test_keras__call_omits_defaults():
    assert convention.call(Spec((Axis(3),))).arguments == {}
    assert convention.call(Spec((Axis(3, 2, 1, 0, 1),) * 2)).arguments == {"strides": 2, "padding": "same"}
    call = convention.call(Spec((Axis(2, 3, 1, 0, -1), Axis(4, 2, 2, 0, 0))), channels_first=True)
    assert call.function == "keras.ops.conv_transpose"
    assert call.arguments == {"strides": (3, 2), "data_format": "channels_first", "dilation_rate": (1, 2)}
    assert call.exact
    call = convention.call(Spec((Axis(2, 3, 1, 0, 0),)))
    assert call.arguments == {"strides": 3, "output_padding": 0}
    assert convention.call(Spec((Axis(3, 2, 1, 2, -4),))).crop == ((2, -3),)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_keras__call_computes_the_geometry_in_keras(rank, on_jax, on_tensorflow):
    @settings(max_examples=15, deadline=None)
    @given(st.data())
    def check(data):
        x, w, keywords = data.draw(calls(rank))
        spec, layout = convention.resolve(x.shape, w.shape, **keywords)
        if data.draw(st.booleans()):  # any ends
            axes, sizes = [], layout.spatial(x.shape)
            for kernel, size in zip(w.shape, sizes, strict=False):
                stride, dilation, lo = (data.draw(st.integers(*ends)) for ends in ((1, 3), (1, 2), (-2, 4)))
                axis = Axis(kernel, stride, dilation)
                most = axis.full_size(size) - lo
                axes.append(Axis(kernel, stride, dilation, lo, data.draw(st.integers(min(-4, most), most))))
            spec = Spec(axes)
        call = convention.call(spec, layout.channels_first)
        y = operation.transposed_convolution(*map(jnp.asarray, (x, w)), spec, layout, name="y", method="reference")
        kernel = call.kernel.kernel(w)
        np.testing.assert_array_equal(finished(on_jax(x, kernel, **call.arguments), call), y)
        answer = on_tensorflow(x, kernel, **call.arguments)
        if isinstance(answer, str):  # it has no dilation with stride, and channels first on few devices
            assert {"dilation_rate", "data_format"} & set(call.arguments), answer
        else:
            np.testing.assert_array_equal(finished(answer, call), y)

    check()


def test_keras__geometry_without_call_raises():
    with pytest.raises(ArgumentError, match=r"has no groups[\s\S]*groups = 2[\s\S]*each group's channels"):
        convention.call(Spec((Axis(3),), 2))
    with pytest.raises(ArgumentError, match=r"at most 3 spatial axes[\s\S]*4 spatial axes"):
        convention.call(Spec((Axis(3),) * 4))


def test_keras__broken_kernel_layout_is_seen(monkeypatch, on_jax):
    x, w = integers((1, 3, 4, 2), (3, 3, 2, 2))
    expected = on_jax(x, w, strides=2, padding="same")
    np.testing.assert_array_equal(conv_transpose(x, w, 2, "same"), expected)
    for layout in broken(convention.kernel_layout(2)):
        monkeypatch.setattr(front.convention, "kernel_layout", lambda rank, layout=layout: layout)
        assert not np.array_equal(conv_transpose(x, w, 2, "same"), expected)


def test_keras__broken_crop_is_seen(monkeypatch, on_jax):
    resolve = convention.resolve

    def shifted(*arguments, **keywords):  # as Keras's older releases on PyTorch
        spec, layout = resolve(*arguments, **keywords)
        axes = tuple(Axis(a.kernel, a.stride, a.dilation, a.hi, a.lo) for a in spec.axes)
        return Spec(axes, spec.groups), layout

    monkeypatch.setattr(front.convention, "resolve", shifted)
    x, w = integers((1, 3, 2), (3, 2, 2))
    assert not np.array_equal(conv_transpose(x, w, 2, "same"), on_jax(x, w, strides=2, padding="same"))


X, W = np.ones((2, 4, 5, 6), np.float32), np.ones((3, 3, 5, 6), np.float32)
LINE, TAPS = np.ones((2, 4, 6), np.float32), np.ones((3, 5, 6), np.float32)


CASES = [
    # operands
    (conv_transpose, (LINE, W), {}, ArgumentError, r"inputs has the wrong number of axes for a 2-D.*\(2, 4, 6\)"),
    (conv_transpose, (X, TAPS), {}, ArgumentError, "inputs has the wrong number of axes for a 1-D"),
    (conv_transpose, (LINE[0], TAPS[0]), {}, ArgumentError, "kernel has the wrong number of axes.*3 axes"),
    (conv_transpose, (1.0, W), {}, ArgumentError, r"inputs of shape \(\)"),
    (conv_transpose, (None, W), {}, ArgumentTypeError, "inputs is not an array of numbers"),
    (conv_transpose, (X, "kernel"), {}, ArgumentTypeError, "kernel is not an array of numbers"),
    (conv_transpose, (X, W.astype(bool)), {}, ArgumentTypeError, "dtypes of inputs and kernel differ.*kernel bool"),
    (conv_transpose, (X, W.astype(int)), {}, ArgumentTypeError, "JAX does not promote.*inputs float32, kernel int"),
    (conv_transpose, (X[..., :5], W), {}, ArgumentError, "channels of inputs and kernel differ.*5 in inputs"),
    (conv_transpose, (X, W.swapaxes(2, 3)), {}, ArgumentError, "swap the last two axes of kernel"),
    (conv_transpose, (X, W[:0]), {}, ArgumentError, "kernel has an axis without taps"),
    (conv_transpose, (X, W), {"data_format": "channels_first"}, ArgumentError, "4 in inputs, 6 in kernel"),
    # groups
    (conv_transpose, (X, W), {"groups": 4}, ArgumentError, "groups does not divide.*groups = 4, 6 channels"),
    (conv_transpose, (X, W), {"groups": 0}, ArgumentError, "groups is out of range"),
    (conv_transpose, (X, W), {"groups": 2.0}, ArgumentTypeError, "groups must be an integer"),
    # strides
    (conv_transpose, (X, W), {"strides": 0}, ArgumentError, "strides is out of range.*strides = 0"),
    (conv_transpose, (X, W), {"strides": (1, -2)}, ArgumentError, r"strides\[1\] = -2"),
    (conv_transpose, (X, W), {"strides": 2.0}, ArgumentTypeError, "strides must be an integer"),
    (conv_transpose, (X, W), {"strides": True}, ArgumentTypeError, "strides must be an integer.*True"),
    (conv_transpose, (X, W), {"strides": None}, ArgumentTypeError, "strides must be a sequence.*None"),
    (conv_transpose, (X, W), {"strides": "2"}, ArgumentTypeError, "strides must be a sequence.*'2'"),
    (conv_transpose, (X, W), {"strides": (2, None)}, ArgumentTypeError, r"strides\[1\] must be an integer"),
    (conv_transpose, (X, W), {"strides": (2,)}, ArgumentError, "strides has the wrong length.*length 1.*sequence of 2"),
    (conv_transpose, (X, W), {"strides": (1, 2, 2, 1)}, ArgumentError, "strides has the wrong length.*length 4"),
    (conv_transpose, (X, W), {"strides": ()}, ArgumentError, "strides has the wrong length.*length 0"),
    (
        traced(conv_transpose, "strides"),
        (X, W),
        {},
        ArgumentTypeError,
        "strides must be an integer that is known before tracing",
    ),
    # dilation_rate
    (conv_transpose, (X, W), {"dilation_rate": 0}, ArgumentError, "dilation_rate is out of range"),
    (conv_transpose, (X, W), {"dilation_rate": (1, 1, 1)}, ArgumentError, "dilation_rate has the wrong length"),
    (conv_transpose, (X, W), {"dilation_rate": None}, ArgumentTypeError, "dilation_rate must be a sequence"),
    (conv_transpose, (X, W), {"dilation_rate": [1, 1.5]}, ArgumentTypeError, r"dilation_rate\[1\] must be an integer"),
    (
        traced(conv_transpose, "dilation_rate"),
        (X, W),
        {},
        ArgumentTypeError,
        "dilation_rate must be an integer that is known",
    ),
    # output_padding
    (conv_transpose, (X, W), {"output_padding": -1}, ArgumentError, "output_padding is out of range.*-1"),
    (conv_transpose, (X, W), {"output_padding": (1,)}, ArgumentError, "output_padding has the wrong length.*length 1"),
    (conv_transpose, (X, W), {"output_padding": (1, 1, 1)}, ArgumentError, "output_padding has the wrong length"),
    (conv_transpose, (X, W), {"output_padding": (1, None)}, ArgumentTypeError, r"output_padding\[1\] must be"),
    (conv_transpose, (X, W), {"output_padding": 1.0}, ArgumentTypeError, "output_padding must be an integer"),
    (conv_transpose, (X, W), {"output_padding": True}, ArgumentTypeError, "output_padding must be an integer"),
    (conv_transpose, (X, W), {"output_padding": 2**31}, ArgumentError, "output_padding is out of range"),
    (conv_transpose, (X, W), {"output_padding": 2**31 - 1}, ArgumentError, "output is too large to index"),
    (
        traced(conv_transpose, "output_padding"),
        (X, W),
        {},
        ArgumentTypeError,
        "output_padding must be an integer that is known",
    ),
    # padding and data_format
    (conv_transpose, (X, W), {"padding": "full"}, ArgumentError, "unknown padding.*'full'.*'valid' or 'same'"),
    (conv_transpose, (X, W), {"padding": "causal"}, ArgumentError, "unknown padding"),
    (conv_transpose, (X, W), {"padding": None}, ArgumentTypeError, "padding must be a string"),
    (conv_transpose, (X, W), {"padding": [(1, 1), (1, 1)]}, ArgumentTypeError, "padding must be a string.*explicit"),
    (conv_transpose, (X, W), {"padding": 1}, ArgumentTypeError, "padding must be a string.*padding = 1"),
    (conv_transpose, (X, W), {"data_format": "NHWC"}, ArgumentError, "unknown data_format.*'channels_last' or"),
    (conv_transpose, (X, W), {"data_format": 1}, ArgumentError, "unknown data_format.*data_format = 1"),
    # options
    (conv_transpose, (X, W), {"method": "fast"}, ArgumentError, "unknown method"),
    (conv_transpose, (X, W), {"precision": "most"}, ArgumentError, "unknown precision"),
    (conv_transpose, (X, W), {"preferred_element_type": "int8"}, ArgumentTypeError, "preferred_element_type does not"),
    (conv_transpose, (X, W), {"out_sharding": 1}, ArgumentTypeError, "out_sharding is not a sharding"),
    # shapes only
    (convention.resolve, (X.shape, 3), {}, ArgumentTypeError, "kernel.shape must be a sequence"),
    (convention.resolve, ((2, 4.0, 6), TAPS.shape), {}, ArgumentTypeError, r"inputs.shape\[1\] must be an integer"),
]


@pytest.mark.parametrize(("call", "operands", "keywords", "error", "text"), CASES)
def test_keras__wrong_call_raises(call, operands, keywords, error, text):
    assert_raises(call, operands, keywords, error, text)


@st.composite
def odd_calls(draw):
    """Operands and keywords in the vocabulary of Keras: legal, unusual and wrong ones."""
    rank = draw(st.integers(1, 2))
    numbers = {
        "size": [0, 1, 2, 3, 4], "k": [1, 2, 3, 4], "strides": [1, 1, 2, 3], "output_padding": [0, 0, 1, 2, 5, -1],
        "dilation_rate": [1, 1, 2],
    }  # fmt: skip
    drawn = {name: [draw(st.sampled_from(values)) for _ in range(rank)] for name, values in numbers.items()}
    taken, out, batch = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 0]))
    dtype = draw(st.sampled_from(["float32", "float32", "int32", "int8", "bool", "complex64"]))
    other = draw(st.sampled_from([dtype] * 9 + ["float32"]))
    sizes, kernel = drawn.pop("size"), drawn.pop("k")
    keywords = {name: held(draw, values) for name, values in drawn.items() if draw(st.booleans())}
    keywords["padding"] = draw(in_any_case("SAME", "VALID") | st.sampled_from(["same", "valid", "causal", "", None, 0]))
    keywords["data_format"] = draw(st.none() | in_any_case("channels_last", "channels_first") | st.just("NHWC"))
    first = str(keywords["data_format"]).lower() == "channels_first"
    x, w = integers((batch, taken, *sizes) if first else (batch, *sizes, taken), (*kernel, out, taken))
    return x.astype(dtype), w.astype(other), keywords


def test_keras__never_gives_other_numbers_than_keras(on_jax):
    equal = []

    def in_keras(x, w, keywords):
        answer = on_jax(x, w, **keywords)
        if isinstance(answer, str):
            raise ValueError(answer)
        return answer

    @settings(max_examples=60, deadline=None)
    @given(odd_calls())
    def check(drawn):
        x, w, keywords = drawn
        different = x.dtype != w.dtype  # which are promoted
        numpys = any(isinstance(value, np.ndarray | np.integer) for value in keywords.values())
        with jax.numpy_dtype_promotion("standard"):
            equal.append(
                assert_drop_in(
                    lambda: in_keras(x, w, keywords),
                    lambda: conv_transpose(x, w, **keywords, method="reference"),
                    different or numpys,
                    (x.shape, w.shape, x.dtype, w.dtype, keywords),
                )
            )

    check()
    assert sum(equal) > 5
