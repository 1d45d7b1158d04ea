"""The two errors that jconvt raises for a wrong argument.

Each message has four parts, because a reader of a traceback has four questions: what is wrong, what was given, what
would be legal, and what to change.
"""


def _message(problem: str, got: object, legal: str, fix: str) -> str:
    return f"{problem}\n  got:   {got}\n  legal: {legal}\n  fix:   {fix}"


class ArgumentError(ValueError):
    """An argument has a value that the operation is not defined for."""

    def __init__(self, problem: str, *, got: object, legal: str, fix: str):
        super().__init__(_message(problem, got, legal, fix))


class ArgumentTypeError(TypeError):
    """An argument is of a kind that the operation cannot use."""

    def __init__(self, problem: str, *, got: object, legal: str, fix: str):
        super().__init__(_message(problem, got, legal, fix))
