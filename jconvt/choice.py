"""Which method computes a map fastest, on which platform."""

import dataclasses
from typing import Any

from .algorithms import MAPS, REFUSALS
from .layout import Layout
from .spec import Spec


@dataclasses.dataclass(frozen=True)
class Decision:
    map: str
    method: str


def decide(map: str, spec: Spec, layout: Layout, a: Any, b: Any, dtype: Any, platform: str | None) -> Decision:
    method = "gemm" if not REFUSALS["gemm"](spec) else "polyphase"
    return Decision(map, method)
