"""The communication of a compiled program, read from its text."""

import collections
import math
import re

_NAMES = r"all-gather|all-reduce|all-to-all|collective-broadcast|collective-permute|ragged-all-to-all|reduce-scatter"
_DEFINED = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (\([^\n]*?\)|\S+) ([a-z][a-z-]*)\(([^()]*)\)", re.MULTILINE)
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")


def collectives(text: str) -> dict[str, list[int]]:
    """Return the bytes of each collective on one device: of its operands or of its result, the larger.

    An asynchronous pair of start and done counts once. The body of a loop counts once.

    >>> collectives('''
    ... ENTRY %main (a: f32[2,4]) -> f32[8,4] {
    ...   %a = f32[2,4]{1,0:T(8,128)} parameter(0)
    ...   %b = (f32[2,4]{1,0:T(8,128)}, f32[8,4]{1,0:T(8,128)}) all-gather-start(%a), dimensions={0}
    ...   ROOT %c = f32[8,4]{1,0:T(8,128)} all-gather-done(%b)
    ... }''')
    {'all-gather': [128]}
    """
    defined = _DEFINED.findall(text)
    sizes = {name: _bytes(type) for name, type, _, _ in defined}
    found = collections.defaultdict(list)
    for _, type, operation, operands in defined:
        match = re.fullmatch(rf"({_NAMES})(-start)?", operation)
        if match is None:
            continue
        operand_bytes = sum(sizes.get(name, 0) for name in re.findall(r"%([\w.-]+)", operands))
        result_bytes = _bytes(type)
        if match[2] and type.startswith("("):  # the result of a start includes the operands
            result_bytes -= operand_bytes
        found[match[1]].append(max(operand_bytes, result_bytes))
    return dict(found)


def all_reduce_groups(text: str) -> list[int]:
    """Return the number of devices that each all-reduce sums over.

    >>> all_reduce_groups('''
    ... %a = f32[8]{0} all-reduce(%x), replica_groups={{0,2,4,6},{1,3,5,7}}, to_apply=%add
    ... %b = f32[8]{0} all-reduce(%x), replica_groups=[4,2]<=[8], to_apply=%add
    ... %c = f32[8]{0} all-reduce-start(%x), replica_groups=mesh['a'=4,'b'=2] {'a','b'}, to_apply=%add''')
    [4, 2, 8]
    """
    return [_devices(groups) for groups in re.findall(r" all-reduce(?:-start)?\(.*?replica_groups=(.*)", text)]


def _devices(groups: str) -> int:
    """The size of each of these groups, which XLA writes as lists, as a shape, or as mesh axes."""
    if listed := re.match(r"{{([\d,]+)}", groups):
        return len(listed[1].split(","))
    if shape := re.match(r"\[\d+,(\d+)\]<=", groups):
        return int(shape[1])
    mesh, axes = re.match(r"mesh\[([^\]]*)\] {([^}]*)}", groups).groups()
    sizes = dict(axis.split("=") for axis in mesh.split(","))
    return math.prod(int(sizes[axis]) for axis in axes.split(","))


def _bytes(type: str) -> int:
    """The bytes of an array or a tuple of arrays, without the 32-bit scalars that track a transfer."""
    total = 0
    for dtype, shape in _ARRAY.findall(type):
        if (dtype, shape) != ("u32", ""):
            bits = 8 if dtype == "pred" else int(re.search(r"\d+", dtype)[0])
            total += math.prod(int(size) for size in shape.split(",") if size) * bits // 8
    return total
