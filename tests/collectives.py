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


def _bytes(type: str) -> int:
    """Of an array or a tuple of arrays; a scalar of 32 bits that only awaits a transfer is none."""
    total = 0
    for dtype, shape in _ARRAY.findall(type):
        if (dtype, shape) != ("u32", ""):
            bits = 8 if dtype == "pred" else int(re.search(r"\d+", dtype)[0])
            total += math.prod(int(size) for size in shape.split(",") if size) * bits // 8
    return total
