"""``python -m jconvt`` and the command ``jconvt``."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line on ``argv``, and returns its exit status."""
    try:
        from ._cli import main as cli
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        print("jconvt: the command line needs the package rich: pip install 'jconvt[cli]'", file=sys.stderr)
        return 2
    return cli.main(argv)


if __name__ == "__main__":
    sys.exit(main())
