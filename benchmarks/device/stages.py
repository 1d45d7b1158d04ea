"""The stages, in the order in which they run."""

from . import checking, choosing, lowering, testing, timing, training

STAGES = {
    stage.name: stage
    for stage in (
        checking.STAGE,
        testing.STAGE,
        timing.STAGE,
        choosing.STAGE,
        lowering.STAGE,
        training.STAGE,
    )
}
