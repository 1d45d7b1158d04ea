"""The two errors that jconvt raises for a wrong argument.

Each message has four parts: the problem, the argument that was passed, the legal values, and the fix.
"""


def _message(problem: str, parts: dict[str, object]) -> str:
    labels = {"got": "got:  ", "legal": "legal:", "fix": "fix:  "}
    return "\n  ".join([problem, *(f"{labels[part]} {text}" for part, text in parts.items())])


class ArgumentError(ValueError):
    """An argument has a value that the operation is not defined for.

    >>> raise ArgumentError("strides is out of range", got="strides = 0", legal="1 or more", fix="pass 1 or more")
    Traceback (most recent call last):
    ...
    jconvt.errors.ArgumentError: strides is out of range
      got:   strides = 0
      legal: 1 or more
      fix:   pass 1 or more
    """

    def __init__(self, problem: str, **parts: object):
        # With no parts the problem is a whole message already, as it is when an error is copied or unpickled.
        super().__init__(_message(problem, parts))


class ArgumentTypeError(TypeError):
    """An argument has the wrong type.

    >>> raise ArgumentTypeError("strides must be integers", got="strides = 2.0", legal="an int", fix="pass 2")
    Traceback (most recent call last):
    ...
    jconvt.errors.ArgumentTypeError: strides must be integers
      got:   strides = 2.0
      legal: an int
      fix:   pass 2
    """

    def __init__(self, problem: str, **parts: object):
        super().__init__(_message(problem, parts))
