"""``python -m benchmarks device``: all that is worth knowing of jconvt on an accelerator, in a few minutes.

The command runs stages, each in a process of its own: a crash or a hang ends only the item that caused it. A stage
writes each result to its record at once, so a run that is stopped at any point loses one item, and a later run into the
same folder goes on from there.

    command   the stages in order, each with its share of the time, and the progress bar
    worker    the process of one stage
    record    the file of one stage
    stage     a stage's name, share, items and section of the page
    checking, testing, timing, choosing, lowering, training   the stages
    page      device.md and device.json
"""
