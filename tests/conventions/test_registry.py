"""A new convention is one object and one line in the registry: everything else then knows it."""

import ast
import pathlib
import re

import numpy as np
import pytest

import jconvt
from jconvt._cli import main
from jconvt._conventions.convention import Call, Convention, remainder
from jconvt._conventions.registry import CONVENTIONS
from jconvt._geometry.arguments import Operands, check_groups, pairs, per_axis
from jconvt._geometry.kernel_layout import KernelLayout
from jconvt._geometry.layout import Layout
from jconvt._translation import translate
from tests.support.conventions import finished, integers

# The toy framework: images are channels first, kernels (out, in, k...) and backwards; it crops ``cut`` at the ends.


def toy_up(x, w, step=1, cut=0):
    """The toy framework's function, as loops over pixels and taps, in one spatial dimension."""
    (cut,) = [(cut, cut)] if isinstance(cut, int) else cut
    n, k = x.shape[2], w.shape[2]
    canvas = np.zeros((len(x), len(w), (n - 1) * step + k), x.dtype)
    for pixel in range(n):
        for tap in range(k):
            canvas[:, :, pixel * step + tap] += x[:, :, pixel] @ w[:, :, k - 1 - tap].T
    return canvas[:, :, cut[0] : canvas.shape[2] - cut[1]]


def resolve(x_shape, w_shape, step=1, cut=0):
    operands = Operands.of("x", x_shape, "w", w_shape)
    rank = len(operands.kernel) - 2
    operands.check_axes(rank, "toy.up", "batch, in, spatial...", "out, in, k...")
    check_groups(1, operands.kernel[1])
    steps = per_axis(step, "step", rank)
    cuts = pairs(cut, "cut", (rank,), "an integer, or pairs", numbers=True)
    axes = tuple(jconvt.Axis(k, s, 1, *ends) for k, s, ends in zip(operands.kernel[2:], steps, cuts, strict=True))
    return jconvt.Spec(axes), Layout(rank, channels_first=True)


def kernel_layout(rank, groups=1, arguments=()):
    return KernelLayout((rank, rank + 1, *range(rank)), flipped=True)


def call(spec, input_shape, filters_shape):
    computed = [jconvt.Axis(a.kernel, a.stride, 1, max(a.lo, 0), max(a.hi, 0)) for a in spec.axes]
    arguments = {"step": tuple(a.stride for a in spec.axes), "cut": tuple((a.lo, a.hi) for a in computed)}
    layout = Layout(spec.rank, channels_first=True)
    return Call("toy.up", arguments, layout, kernel_layout(spec.rank), remainder(spec.axes, computed))


TOY = Convention(
    name="toy",
    function="toy.up",
    arguments=("step", "cut"),
    positional=("step", "cut"),
    resolve=resolve,
    call=call,
    layout=lambda rank, arguments: Layout(rank, channels_first=True),
    kernel_layout=kernel_layout,
    options={"stride": "step", "padding": "cut"},
    padding=lambda padding: {"cut": 0 if padding == "VALID" else padding},
    code="{y} = toy.up({x}, {w}{arguments})",
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(CONVENTIONS, "toy", TOY)


class toy:  # noqa: N801  (it is the toy framework's module)
    """The module that the toy's code calls: it takes a step for each axis, and here there is one."""

    @staticmethod
    def up(x, w, step=1, cut=0):
        return toy_up(x, w, step if isinstance(step, int) else step[0], cut)


def run(code, **names):
    space = {"np": np, "toy": toy, **names}
    exec(code, space)
    return space


@pytest.mark.parametrize("target", CONVENTIONS)
def test_registry__toy_translates_to(target):
    found = translate("toy", target, (4,), (3,), {"step": 2, "cut": ((1, 0),)}, channels=(2, 3))
    x, w = integers(found.input_shape, found.kernel_shape)
    expected = toy_up(x, w, 2, ((1, 0),))
    assert expected.shape == found.output_shape
    np.testing.assert_array_equal(run(found.source_code, x=x, w=w)["y"], expected)
    arguments = CONVENTIONS[target].call(found.spec, (1, 4, 2), (3, 3, 2)).arguments
    assert all(name in found.target_code for name in arguments)
    back = translate("toy", "jconvt", (4,), (3,), {"step": 2, "cut": ((1, 0),)}, channels=(2, 3))
    np.testing.assert_array_equal(run(back.target_code, x=x, w=w)["z"], expected)


@pytest.mark.parametrize("source", [name for name in CONVENTIONS if name != "lax"])
def test_registry__toy_translates_from(source):
    found = translate(source, "toy", (4,), (3,), {}, channels=(2, 3))
    x, w = integers(found.input_shape, found.kernel_shape)
    z = run(found.target_code, x=x, w=w)["z"]
    np.testing.assert_array_equal(
        z, run(translate(source, "jconvt", (4,), (3,), {}, channels=(2, 3)).target_code, x=x, w=w)["z"]
    )


def test_registry__toy_call_leaves_zeros_to_add():
    spec = jconvt.Spec((jconvt.Axis(3, 2, 1, 1, -2),))
    call = TOY.call(spec, (1, 4, 2), (3, 3, 2))
    x, w = integers((1, 2, 4), (3, 2, 3))
    y = finished(toy.up(x, w, **call.arguments), call)
    assert (call.crop, y.shape) == (((0, -2),), (1, 3, *spec.output_sizes((4,))))


def test_registry__toy_is_explained():
    x, w = integers((1, 1, 3), (1, 1, 3))
    why = jconvt.explain(x, w, 2, convention="toy")
    assert (why.agrees, why.backwards) == (True, True)
    assert why.call == "toy.up(input, filters, step=2)"
    np.testing.assert_array_equal(why.output, toy_up(x, w, 2)[0, 0])
    with pytest.raises(
        jconvt.ArgumentError, match=r"not those of toy's function[\s\S]*'strides' unknown[\s\S]*step, cut"
    ):
        jconvt.explain(x, w, strides=2, convention="toy")


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (
            "translate --from toy --to torch --input 4 --kernel 3 --stride 2 --padding 1",
            r"toy\.up\(x, w, step=\(2,\), cut",
        ),
        (
            "translate --from torch --to toy --input 4 --kernel 3 --stride 2",
            r"toy\.up\(x, w\[:, :, ::-1\]|toy\.up\(x, w\.",
        ),
        ("explain --convention toy --input 3 --kernel 2 --stride 2", r"toy\.up\(input, filters, step=\(2,\)\)"),
    ],
)
def test_registry__command_line_offers_toy(command, printed, capsys):
    assert main.main(command.split()) == 0
    assert re.search(printed, capsys.readouterr().out)


def test_registry__command_line_rejects_options_that_toy_lacks(capsys):
    command = ["translate", "--from", "toy", "--to", "torch", "--input", "4", "--kernel", "3", "--groups", "2"]
    assert main.main(command) == 2
    assert "toy's function has no groups" in capsys.readouterr().err


def test_registry__no_other_file_compares_names():
    package = pathlib.Path(jconvt.__file__).parent
    found = []
    for path in package.rglob("*.py"):
        if path.parent.name == "_conventions" or "weights" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            values = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            values += node.keys if isinstance(node, ast.Dict) else []
            names = {value.value for value in values if isinstance(value, ast.Constant)} & {*CONVENTIONS} - {"jconvt"}
            found += [(path.name, node.lineno, name) for name in names]
    assert found == []
