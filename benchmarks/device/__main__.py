"""``python -m benchmarks.device STAGE RECORD SECONDS [--quick]``: the process of one stage."""

import argparse
import pathlib

from .worker import work

if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.device")
    parser.add_argument("name")
    parser.add_argument("path", type=pathlib.Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--quick", action="store_true")
    work(**vars(parser.parse_args()))
