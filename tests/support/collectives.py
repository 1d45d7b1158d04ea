"""What a compiled program sends between devices, read from its text."""

import collections
import math
import re

_NAMES = r"all-gather|all-reduce|all-to-all|collective-broadcast|collective-permute|ragged-all-to-all|reduce-scatter"
_DEFINED = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (\([^\n]*?\)|\S+) ([a-z][a-z-]*)\(([^()]*)\)", re.MULTILINE)
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")


def collectives(text: str) -> dict[str, list[int]]:
    """The bytes that each collective of a program has on one device: of what goes in or of what comes out, the larger.

    One that is started and awaited apart counts once. A loop's body counts once, however often it runs.

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
        given, made = sum(sizes.get(name, 0) for name in re.findall(r"%([\w.-]+)", operands)), _bytes(type)
        if match[2] and type.startswith("("):  # what goes in is part of the result, too
            made -= given
        found[match[1]].append(max(given, made))
    return dict(found)


def added_up(text: str) -> list[int]:
    """Over how many devices at a time each all-reduce of a program adds up.

    >>> added_up('''
    ... %a = f32[8]{0} all-reduce(%x), replica_groups={{0,2,4,6},{1,3,5,7}}, to_apply=%add
    ... %b = f32[8]{0} all-reduce(%x), replica_groups=[4,2]<=[8], to_apply=%add
    ... %c = f32[8]{0} all-reduce-start(%x), replica_groups=mesh['a'=4,'b'=2] {'a','b'}, to_apply=%add''')
    [4, 2, 8]
    """
    return [_devices(groups) for groups in re.findall(r" all-reduce(?:-start)?\(.*?replica_groups=(.*)", text)]


def _devices(groups: str) -> int:
    """In each of these groups, as XLA writes them: one by one, by their shape, or by the axes of a mesh."""
    if listed := re.match(r"{{([\d,]+)}", groups):
        return len(listed[1].split(","))
    if shape := re.match(r"\[\d+,(\d+)\]<=", groups):
        return int(shape[1])
    mesh, axes = re.match(r"mesh\[([^\]]*)\] {([^}]*)}", groups).groups()
    sizes = dict(axis.split("=") for axis in mesh.split(","))
    return math.prod(int(sizes[axis]) for axis in axes.split(","))


def _bytes(type: str) -> int:
    """Of an array or a tuple of arrays; a scalar of 32 bits that only awaits a transfer is none."""
    total = 0
    for dtype, shape in _ARRAY.findall(type):
        if (dtype, shape) != ("u32", ""):
            bits = 8 if dtype == "pred" else int(re.search(r"\d+", dtype)[0])
            total += math.prod(int(size) for size in shape.split(",") if size) * bits // 8
    return total
