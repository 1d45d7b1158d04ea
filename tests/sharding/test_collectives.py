"""Reading the collectives from the text of a compiled program."""

import pytest

from tests.support.collectives import collectives

HEAD = "ENTRY %main (a: bf16[4,8]) -> bf16[4,8] {\n  %a = bf16[4,8]{1,0:T(8,128)(2,1)} parameter(0)\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("%b = bf16[4,8]{1,0} all-reduce(%a), to_apply=%add", {"all-reduce": [64]}),
        ("%b = bf16[16,8]{1,0} all-gather(%a), dimensions={0}", {"all-gather": [256]}),
        ("%b = bf16[1,8]{1,0} reduce-scatter(%a), dimensions={0}", {"reduce-scatter": [64]}),
        ("%b = bf16[4,8]{1,0} all-to-all(%a), dimensions={0}", {"all-to-all": [64]}),
        ("%b = (bf16[4,8]{1,0}, bf16[4,8]{1,0}) all-reduce(%a, %a), to_apply=%add", {"all-reduce": [128]}),
        (
            "%s = bf16[1,8]{1,0:T(8,128)(2,1)S(1)} slice(%a), slice={[0:1], [0:8]}\n"
            "  %b = (bf16[1,8]{1,0:T(8,128)}, bf16[1,8]{1,0:T(8,128)}, u32[]{:S(2)}, u32[]{:S(2)}) "
            "collective-permute-start(%s), source_target_pairs={{0,1},{1,2}}\n"
            "  %c = bf16[1,8]{1,0:T(8,128)} collective-permute-done(%b)",
            {"collective-permute": [16]},
        ),
        ("%b = bf16[4,8]{1,0} all-reduce-start(%a)\n  %c = bf16[4,8]{1,0} all-reduce-done(%b)", {"all-reduce": [64]}),
        ('%b = pred[4,8]{1,0} compare(%a, %a), metadata={op_name="f32[9] all-gather(%a)"}', {}),
        (
            "%p = pred[4,8]{1,0} compare(%a, %a)\n  ROOT %b = pred[8,8]{1,0} all-gather(%p)\n"
            "  %c = f8e4m3fn[16]{0} convert(%a)\n  %d = f8e4m3fn[16]{0} all-gather(%c)",
            {"all-gather": [64, 16]},
        ),
    ],
)
def test_collectives__bytes(lines, expected):
    assert collectives(f"{HEAD}  {lines}\n}}") == expected
