"""Public signatures and docstrings."""

import dataclasses
import inspect

import pytest

import jconvt

CONV_TRANSPOSE = ["input", "filters", "output_shape", "strides", "padding", "data_format", "dilations", "name"]
IN_TENSORFLOWS_ORDER = {
    "conv_transpose": CONV_TRANSPOSE,
    "conv1d_transpose": CONV_TRANSPOSE,
    "conv2d_transpose": CONV_TRANSPOSE,
    "conv3d_transpose": CONV_TRANSPOSE,
    "atrous_conv2d_transpose": ["value", "filters", "output_shape", "rate", "padding", "name"],
    "conv2d_backprop_input": [
        "input_sizes", "filter", "out_backprop", "strides", "padding",
        "use_cudnn_on_gpu", "data_format", "dilations", "name", "filters",
    ],
}  # fmt: skip
OPTIONS = ["method", "precision", "preferred_element_type", "out_sharding"]


def functions(module):
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == "jconvt.tensorflow"
    }


def test_signatures__list_is_complete():
    assert functions(jconvt.tensorflow).keys() == IN_TENSORFLOWS_ORDER.keys()
    assert inspect.isfunction(jconvt.choose)
    assert functions(jconvt).keys() == {
        name for name in IN_TENSORFLOWS_ORDER if name.startswith("conv") and "_transpose" in name
    }
    for name, function in functions(jconvt).items():
        assert function is getattr(jconvt.tensorflow, name)
    assert set(jconvt.__all__) <= set(dir(jconvt))


@pytest.mark.parametrize("name", IN_TENSORFLOWS_ORDER)
def test_signatures__follow_tensorflow_then_keyword_only(name):
    parameters = inspect.signature(getattr(jconvt.tensorflow, name)).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    keyword_only = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert positional == IN_TENSORFLOWS_ORDER[name]
    assert len(positional) + len(keyword_only) == len(parameters)  # no *args, no **kwargs
    assert keyword_only[-len(OPTIONS) :] == OPTIONS
    assert "groups" in keyword_only
    for parameter in parameters:
        assert parameter.annotation is not parameter.empty
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default is not parameter.empty


def test_signatures__defaults_are_tensorflows():
    for function in functions(jconvt).values():
        defaults = {p.name: p.default for p in inspect.signature(function).parameters.values()}
        assert defaults["padding"] == "SAME"
        assert defaults["strides"] == 1
        for name in ("output_shape", "data_format", "dilations", "name", "output_padding"):
            assert defaults[name] is None
        assert (defaults["groups"], defaults["method"]) == (1, "auto")


@pytest.mark.parametrize("name", IN_TENSORFLOWS_ORDER)
def test_signatures__docstrings_name_every_argument(name):
    function = getattr(jconvt.tensorflow, name)
    text = inspect.getdoc(function)
    for section in ("Args:", "Returns:", "Raises:", ">>> "):
        assert section in text
    arguments = text.split("Args:")[1].split("Returns:")[0]
    for parameter in inspect.signature(function).parameters:
        assert parameter in arguments


OTHERS = [
    jconvt.torch.conv_transpose1d,
    jconvt.torch.conv_transpose2d,
    jconvt.torch.conv_transpose3d,
    jconvt.keras.conv_transpose,
    jconvt.onnx.conv_transpose,
    jconvt.lax.conv_transpose,
]


@pytest.mark.parametrize("function", OTHERS, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_signatures__other_frameworks_have_the_same_options(function):
    text = inspect.getdoc(function)
    for section in ("Args:", "Returns:", "Raises:", ">>> "):
        assert section in text
    arguments = text.split("Args:")[1].split("Returns:")[0]
    parameters = inspect.signature(function).parameters
    assert set(OPTIONS) <= parameters.keys()
    for parameter in parameters.values():
        assert parameter.name in arguments
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        assert parameter.annotation is not parameter.empty


def test_signatures__every_public_class_is_documented():
    for name in jconvt.__all__:
        value = getattr(jconvt, name)
        assert inspect.getdoc(value)
        if inspect.isclass(value):
            for label, member in vars(value).items():
                if not label.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    assert inspect.getdoc(member), (name, label)


def test_signatures__spec_and_axis_are_frozen():
    spec = jconvt.Spec((jconvt.Axis(3, 2),))
    assert hash(spec) == hash(jconvt.Spec([jconvt.Axis(3, 2)]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.groups = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.axes[0].stride = 1
