"""`sparsebench report` in this process."""

import argparse

from bench.cli.report import add_parser


def report(*arguments):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["report", *map(str, arguments)])
    return parsed.run(parsed)
