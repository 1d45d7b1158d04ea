"""Models leave JAX under ``plain_jax``: onnxruntime and TensorFlow Lite's interpreter give the same numbers."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from jconvt import Axis, Spec
from jconvt._core.operation import transposed_convolution
from jconvt._geometry.layout import Layout
from jconvt._methods import reference
from tests.support.layers import integers

CHANNELS = {1: (2, 3), 2: (4, 6), 3: (3, 3)}  # for each number of groups


def plain(function):
    """``function`` under ``plain_jax``: exporters trace it where they like."""
    return jconvt.plain_jax()(function)


def crops(k, s, d):
    """SAME, SAME_LOWER, VALID with and without rows past the last stamp, and PyTorch's padding of 1."""
    extra = (k - 1) * d + 1 - s
    lo = max(0, extra) // 2
    return {(lo, extra - lo), (max(lo, extra - lo), min(lo, extra - lo)), (0, 0), (0, 1 - s), (1, 1)}


def geometries(ranks, groups):
    """A geometry and a layout for each: every kernel from 1 to 4, stride from 1 to 3, and crop."""
    kinds = [(k, s, d) for k in range(1, 5) for s in range(1, 4) for d in ((1, 2) if k in (2, 3) else (1,))]
    for i, (k, s, d) in enumerate(kinds):
        for j, crop in enumerate(sorted(crops(k, s, d))):
            rank = ranks[(i + j) % len(ranks)]
            axes = [Axis(k, s, d, *crop), Axis(min(k, 2), s if i % 2 else 1)][:rank]
            yield Spec(tuple(axes), groups[(i + j) % len(groups)]), Layout(rank, channels_first=(i + j) % 3 == 0)


def problem(spec, layout):
    """Integer operands, the function of the input, and its result by the definition."""
    channels, features = CHANNELS[spec.groups]
    sizes = (5, 4, 3)[: spec.rank]
    x = integers(layout.shape(2, sizes, channels), np.float32)
    w = integers((*(axis.kernel for axis in spec.axes), features // spec.groups, channels), np.float32)

    def up(x):
        return transposed_convolution(x, jnp.asarray(w), spec, layout, name="up")

    last = np.moveaxis(x, 1, -1) if layout.channels_first else x
    y = reference.transpose(last, w, spec)
    return x, plain(up), np.moveaxis(y, -1, 1) if layout.channels_first else y


def in_onnxruntime(functions, inputs, shape=None):
    """The results of ``functions``, each of its input, in onnxruntime, and how often each operator occurs.

    They are one model: exporting it is faster than many small ones. ``shape``, if given, is that of the only input.
    """
    jax2onnx = pytest.importorskip("jax2onnx", exc_type=ImportError)
    onnxruntime = pytest.importorskip("onnxruntime")

    def call(*inputs):
        return [function(x) for function, x in zip(functions, inputs, strict=True)]

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), jax.enable_x64(False):
        model = jax2onnx.to_onnx(call, [shape] if shape else [x.shape for x in inputs])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    results = session.run(None, {each.name: x for each, x in zip(session.get_inputs(), inputs, strict=True)})
    return results, collections.Counter(node.op_type for node in model.graph.node)


def in_tflite(functions, inputs, shape=None):
    """The same in TensorFlow Lite's interpreter. ``None`` in ``shape`` means any size."""
    tf = pytest.importorskip("tensorflow")
    from jax.experimental import jax2tf

    def call(*inputs):
        return {f"y{i}": function(x) for i, (function, x) in enumerate(zip(functions, inputs, strict=True))}

    shapes = [shape] if shape else [x.shape for x in inputs]
    polymorphic = ["(" + ", ".join("b" if size is None else str(size) for size in sizes) + ")" for sizes in shapes]
    module = tf.Module()
    module.call = tf.function(
        jax2tf.convert(call, polymorphic_shapes=polymorphic),
        autograph=False,
        input_signature=[tf.TensorSpec(sizes, tf.float32, name=f"x{i}") for i, sizes in enumerate(shapes)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    results = interpreter.get_signature_runner()(**{f"x{i}": x for i, x in enumerate(inputs)})
    operators = collections.Counter(operator["op_name"] for operator in interpreter._get_ops_details())
    return [results[f"y{i}"] for i in range(len(inputs))], operators


def check(export, cases):
    """Check that cases of a geometry and a layout give the same numbers, and return how often each operator occurs."""
    inputs, functions, expected = zip(*(problem(*case) for case in cases), strict=True)
    results, operators = export(functions, inputs)
    for case, y, z in zip(cases, results, expected, strict=True):
        np.testing.assert_array_equal(y, z, str(case))
    return operators


@pytest.mark.filterwarnings("ignore")  # of the converters
def test_tflite__every_geometry_of_one_and_two_axes():
    cases = [*geometries(ranks=(1, 2), groups=(1,))]
    operators = check(in_tflite, cases)
    assert operators["TRANSPOSE_CONV"] == sum(any(axis.stride > 1 for axis in spec.axes) for spec, _ in cases) > 40


@pytest.mark.filterwarnings("ignore")
def test_tflite__depthwise():
    """Where the stride is the size of the kernel, the converter is tempted to resize instead."""
    check(in_tflite, [*geometries(ranks=(1, 2), groups=(3,))])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", [Spec((Axis(2, 2),) * 3), Spec((Axis(4, 2),), groups=2)], ids=["axes", "groups"])
def test_tflite__lacks_three_axes_and_groups(spec):
    """These are errors. If TensorFlow Lite learns them, change the documentation."""
    pytest.importorskip("tensorflow")
    x, up, _ = problem(spec, Layout(spec.rank))
    with pytest.raises(Exception, match="convolution"):
        in_tflite([up], [x])


@pytest.mark.filterwarnings("ignore")
def test_onnx__every_geometry_of_one_and_two_axes():
    cases = [*geometries(ranks=(1, 2), groups=(1, 2, 3))]
    operators = check(in_onnxruntime, cases)
    assert operators["ConvTranspose"] == sum(any(axis.stride > 1 for axis in spec.axes) for spec, _ in cases) > 40


def test_onnx__lacks_three_axes():
    pytest.importorskip("jax2onnx", exc_type=ImportError)
    x, up, _ = problem(Spec((Axis(2, 2),) * 3), Layout(3))
    with pytest.raises(NotImplementedError, match="layouts"):
        in_onnxruntime([up], [x])


@pytest.mark.filterwarnings("ignore")
def test_onnx__lacks_symbolic_sizes_past_the_last_stamp():
    pytest.importorskip("jax2onnx", exc_type=ImportError)
    x, up, _ = problem(Spec((Axis(2, 3, hi=-1),)), Layout(1))
    in_onnxruntime([up], [x])
    with pytest.raises(Exception, match="B"):
        in_onnxruntime([up], [x], shape=("B", *x.shape[1:]))


def models():
    """Models of the layers of each framework, on inputs of any batch size, and their other sizes."""
    from flax import nnx

    import jconvt.equinox
    import jconvt.linen
    import jconvt.nnx

    rngs = nnx.Rngs(0)
    decoder = nnx.Sequential(
        jconvt.nnx.ConvTranspose(4, 8, (4, 4), 2, rngs=rngs),
        nnx.relu,
        jconvt.nnx.ConvTranspose(8, 6, (3, 3), 2, padding=1, use_consistent_padding=True, rngs=rngs),
        jconvt.nnx.ConvTranspose(6, 3, (3, 3), padding="CIRCULAR", method="gemm", rngs=rngs),
    )
    layer = jconvt.linen.ConvTranspose(3, (5,), (3,), padding="VALID")
    variables = layer.init(jax.random.key(0), jnp.ones((1, 6, 4)))
    torch_like = jconvt.equinox.ConvTranspose(2, 4, 3, 4, 2, 1, key=jax.random.key(1))
    return {
        "nnx": (decoder, (8, 8, 4)),
        "linen": (lambda x: layer.apply(variables, x), (6, 4)),
        "equinox": (jax.vmap(torch_like), (4, 8, 8)),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", ["nnx", "linen", "equinox"])
@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_layers__leave_with_any_batch_size(framework, target):
    for package in ("flax", "equinox"):
        pytest.importorskip(package)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        model, sizes = models()[framework]
        x = np.random.default_rng(0).normal(size=(3, *sizes)).astype(np.float32)
        if target == "onnx":
            (y,), operators = in_onnxruntime([plain(model)], [x], ("B", *sizes))
            assert operators["ConvTranspose"]
        else:
            (y,), operators = in_tflite([plain(model)], [x], (None, *sizes))
            assert operators["TRANSPOSE_CONV"]
        np.testing.assert_allclose(y, model(x), rtol=0, atol=1e-5)
