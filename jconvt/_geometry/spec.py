"""The geometry of a transposed convolution. Every convention resolves a call's arguments to a ``Spec``."""

import dataclasses
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._text_table import table
from ..errors import ArgumentError, ArgumentTypeError
from .arguments import LARGEST, Size, integer, sequence, size
from .axis import Axis

if TYPE_CHECKING:
    from .._conventions.convention import Call


@dataclasses.dataclass(frozen=True)
class Spec:
    """The geometry of a transposed convolution: one ``Axis`` for each spatial axis, and the number of groups.

    It consists of integers and is hashable. It contains no sizes, so one ``Spec`` works for every input size.

    Raises:
      ArgumentTypeError: ``axes`` contains something other than ``Axis``, or ``groups`` is not an integer.
      ArgumentError: there is no axis, or ``groups`` is below 1.

    >>> spec = Spec.from_tensorflow((1, 2, 2, 1), (3, 3, 1, 1), strides=2, padding="VALID")
    >>> print(spec)
    transposed convolution, 2-D, groups 1
      axis  kernel  stride  dilation  crop    output size
      0     3       2       1         (0, 0)  2n + 1
      1     3       2       1         (0, 0)  2n + 1
    >>> spec.output_sizes((2, 2))
    (5, 5)
    """

    axes: tuple[Axis, ...]
    groups: int = 1

    def __post_init__(self):
        axes = tuple(sequence(self.axes, "axes", "one jconvt.Axis for each spatial axis"))
        if not all(isinstance(axis, Axis) for axis in axes):
            raise ArgumentTypeError(
                "axes must hold one Axis for each spatial axis",
                got=f"axes = {self.axes!r}",
                legal="a sequence of jconvt.Axis",
                fix="build each with jconvt.Axis(kernel, stride, dilation, lo, hi)",
            )
        if not axes:
            raise ArgumentError(
                "a transposed convolution has at least one spatial axis",
                got="axes = ()",
                legal="one Axis or more",
                fix="a product without spatial axes is jax.numpy.matmul",
            )
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "groups", integer(self.groups, "groups", lowest=1))

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.axes)

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The spatial output sizes for these spatial input sizes."""
        return tuple(axis.output_size(size) for axis, size in zip(self.axes, self._checked(sizes), strict=True))

    def input_sizes(self, output_sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The spatial output sizes of the forward convolution: the inverse of ``output_sizes``."""
        return tuple(axis.input_size(size) for axis, size in zip(self.axes, self._checked(output_sizes), strict=True))

    def _checked(self, sizes: Sequence[Size]) -> Sequence[Size]:
        if (
            type(sizes) is tuple
            and all(type(n) is int and 0 <= n <= LARGEST for n in sizes)
            and len(sizes) == self.rank
        ):
            return sizes
        legal = f"{self.rank} sizes, one for each spatial axis"
        found = [size(value, f"sizes[{i}]") for i, value in enumerate(sequence(sizes, "sizes", legal))]
        if len(found) != self.rank:
            raise ArgumentError(
                "sizes has the wrong length", got=found, legal=legal, fix="leave batch and channels out"
            )
        return found

    @classmethod
    def from_tensorflow(
        cls, input_shape: Sequence[Size], filters_shape: Sequence[int], output_shape: Sequence[Size] | None = None,
        strides: Any = 1, padding: Any = "SAME", data_format: str | None = None, dilations: Any = None, *,
        output_padding: Any = None, groups: int = 1,
    ) -> "Spec":  # fmt: skip
        """The geometry of a call of ``jconvt.conv_transpose``.

        Args:
          input_shape: the shape of the input, with batch and channels.
          filters_shape: ``(k..., out / groups, in)``.
          output_shape, strides, padding, data_format, dilations, output_padding, groups: as in ``conv_transpose``.

        Raises:
          ArgumentError, ArgumentTypeError: as in ``conv_transpose``.

        >>> Spec.from_tensorflow((1, 4, 1), (3, 1, 1), output_shape=[7], strides=2)
        Spec(axes=(Axis(kernel=3, stride=2, dilation=1, lo=1, hi=1),), groups=1)
        """
        return cls._resolved(
            "tensorflow", input_shape, filters_shape, output_shape, strides, padding, data_format, dilations,
            output_padding=output_padding, groups=groups,
        )  # fmt: skip

    @classmethod
    def from_torch(
        cls, input_shape: Sequence[Size], weight_shape: Sequence[int], stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    ) -> "Spec":  # fmt: skip
        """The geometry of a call of ``torch.nn.functional.conv_transpose1d`` to ``conv_transpose3d``.

        Args:
          input_shape: ``(batch, in, spatial...)``.
          weight_shape: ``(in, out / groups, k...)``.
          stride, padding, output_padding, groups, dilation: as in PyTorch.

        Raises:
          ArgumentError, ArgumentTypeError: as in ``jconvt.torch.conv_transpose2d``.

        >>> Spec.from_torch((1, 1, 4), (1, 1, 3), stride=2, padding=1, output_padding=1)
        Spec(axes=(Axis(kernel=3, stride=2, dilation=1, lo=1, hi=0),), groups=1)
        """
        arguments = input_shape, weight_shape, stride, padding, output_padding, groups, dilation
        return cls._resolved("torch", *arguments)

    @classmethod
    def from_keras(
        cls, inputs_shape: Sequence[Size], kernel_shape: Sequence[int], strides: Any = 1, padding: str = "valid",
        output_padding: Any = None, data_format: str | None = None, dilation_rate: Any = 1, *, groups: int = 1,
    ) -> "Spec":  # fmt: skip
        """The geometry of a call of ``keras.ops.conv_transpose``.

        Args:
          inputs_shape: the shape of the input, with batch and channels.
          kernel_shape: ``(k..., out / groups, in)``.
          strides, padding, output_padding, data_format, dilation_rate, groups: as in ``jconvt.keras.conv_transpose``.

        Raises:
          ArgumentError, ArgumentTypeError: as in ``jconvt.keras.conv_transpose``.

        >>> Spec.from_keras((1, 4, 1), (3, 1, 1), strides=2, padding="same")
        Spec(axes=(Axis(kernel=3, stride=2, dilation=1, lo=0, hi=1),), groups=1)
        """
        return cls._resolved(
            "keras", inputs_shape, kernel_shape, strides, padding, output_padding, data_format, dilation_rate,
            groups=groups,
        )  # fmt: skip

    @classmethod
    def from_onnx(
        cls, X_shape: Sequence[Size], W_shape: Sequence[int], *, auto_pad: str = "NOTSET", dilations: Any = None,
        group: int = 1, kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None,
        pads: Any = None, strides: Any = None,
    ) -> "Spec":  # fmt: skip
        """The geometry of ONNX's operator ``ConvTranspose``.

        Args:
          X_shape: ``(batch, in, spatial...)``.
          W_shape: ``(in, out / group, k...)``.
          auto_pad, dilations, group, kernel_shape, output_padding, output_shape, pads, strides: its attributes.

        Raises:
          ArgumentError, ArgumentTypeError: as in ``jconvt.onnx.conv_transpose``.

        >>> Spec.from_onnx((1, 1, 4), (1, 1, 3), strides=[2], pads=[0, 1])
        Spec(axes=(Axis(kernel=3, stride=2, dilation=1, lo=0, hi=1),), groups=1)
        """
        return cls._resolved(
            "onnx", X_shape, W_shape, auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
            output_padding=output_padding, output_shape=output_shape, pads=pads, strides=strides,
        )  # fmt: skip

    @classmethod
    def from_lax(
        cls, lhs_shape: Sequence[Size], rhs_shape: Sequence[int], strides: Sequence[int], padding: Any,
        rhs_dilation: Any = None, dimension_numbers: Any = None, transpose_kernel: bool = False,
        use_consistent_padding: bool = False, *, feature_group_count: int = 1,
    ) -> "Spec":  # fmt: skip
        """The geometry of a call of ``jax.lax.conv_transpose``.

        Args:
          lhs_shape: the shape of the input, in the order of ``dimension_numbers``.
          rhs_shape: the shape of the kernel, likewise; ``(k..., in, out)`` by default.
          strides, padding, rhs_dilation, dimension_numbers: as in ``jconvt.lax.conv_transpose``.
          transpose_kernel, use_consistent_padding, feature_group_count: as in ``jconvt.lax.conv_transpose``.

        Raises:
          ArgumentError, ArgumentTypeError: as in ``jconvt.lax.conv_transpose``.

        >>> Spec.from_lax((1, 4, 1), (3, 1, 1), (2,), [(1, 2)])
        Spec(axes=(Axis(kernel=3, stride=2, dilation=1, lo=1, hi=0),), groups=1)
        """
        return cls._resolved(
            "lax", lhs_shape, rhs_shape, strides, padding, rhs_dilation, dimension_numbers, transpose_kernel,
            use_consistent_padding, feature_group_count=feature_group_count,
        )  # fmt: skip

    @classmethod
    def from_flax(
        cls, input_shape: Sequence[Size], kernel_shape: Sequence[int], strides: Any = None, padding: Any = "SAME",
        kernel_dilation: Any = None, transpose_kernel: bool = False,
    ) -> "Spec":  # fmt: skip
        """The geometry of the layer ``ConvTranspose`` of ``flax.linen`` and ``flax.nnx``.

        Args:
          input_shape: ``(batch, spatial..., in)``.
          kernel_shape: the shape of the parameter: ``(k..., in, out)``, with ``transpose_kernel`` ``(k..., out, in)``.
          strides, padding, kernel_dilation, transpose_kernel: as in the layer.

        Raises:
          ArgumentError, ArgumentTypeError: the layer does not accept an argument.

        >>> Spec.from_flax((1, 4, 1), (3, 1, 1), strides=2)
        Spec(axes=(Axis(kernel=3, stride=2, dilation=1, lo=0, hi=1),), groups=1)
        """
        arguments = input_shape, kernel_shape, strides, padding, kernel_dilation, transpose_kernel
        return cls._resolved("flax", *arguments)

    @classmethod
    def _resolved(cls, framework: str, *arguments: Any, **keywords: Any) -> "Spec":
        spec = _convention(framework).resolve(*arguments, **keywords)[0]
        return spec if cls is Spec else cls(spec.axes, spec.groups)

    def to_tensorflow(self, input_shape: Sequence[Size], filters_shape: Sequence[int]) -> "Call":
        """TensorFlow's call for this geometry. Its arguments contain the sizes.

        Args:
          input_shape: ``(batch, spatial..., in)``.
          filters_shape: ``(k..., out / groups, in)``.

        Returns:
          A ``Call``: the function, its arguments, the layouts of its operands, and the remaining crop of its result.

        Raises:
          ArgumentError: TensorFlow has no call for it. The other ``to_...`` methods raise likewise.

        >>> call = Spec((Axis(kernel=3, stride=2, lo=0, hi=1),)).to_tensorflow((1, 4, 1), (3, 1, 1))
        >>> call.function, call.arguments["padding"], call.exact
        ('tf.nn.conv1d_transpose', 'SAME', True)
        """
        return _convention("tensorflow").call(self, input_shape, filters_shape)

    def to_torch(self) -> "Call":
        """PyTorch's call for this geometry.

        >>> call = Spec((Axis(kernel=3, stride=2, lo=1, hi=0),)).to_torch()
        >>> call.function, call.arguments["output_padding"], call.crop
        ('torch.nn.functional.conv_transpose1d', 1, ((0, 0),))
        >>> Spec((Axis(kernel=3, stride=2, lo=0, hi=1),)).to_torch().crop  # PyTorch crops no more at the end
        ((0, 1),)
        """
        return _convention("torch").call(self)

    def to_keras(self) -> "Call":
        """Keras's call for this geometry."""
        return _convention("keras").call(self)

    def to_onnx(self) -> "Call":
        """The attributes of ONNX's ``ConvTranspose`` for this geometry."""
        return _convention("onnx").call(self)

    def to_lax(self) -> "Call":
        """The call of ``jax.lax.conv_transpose`` for this geometry."""
        return _convention("lax").call(self)

    def to_flax(self) -> "Call":
        """Flax's layer for this geometry."""
        return _convention("flax").call(self)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("axis", "kernel", "stride", "dilation", "crop", "output size")]
        for number, axis in enumerate(self.axes):
            factor = "n" if axis.stride == 1 else f"{axis.stride}n"
            constant = axis.output_size(0)
            size = factor if constant == 0 else f"{factor} {'+' if constant > 0 else '-'} {abs(constant)}"
            row = (number, axis.kernel, axis.stride, axis.dilation, (axis.lo, axis.hi), size)
            rows.append(tuple(str(cell) for cell in row))
        return "\n  ".join([f"transposed convolution, {self.rank}-D, groups {self.groups}", *table(rows).splitlines()])


def _convention(name: str) -> Any:
    """The convention's module, imported on demand: conventions are built on ``Spec``."""
    return importlib.import_module(f"jconvt._conventions.{name}")
