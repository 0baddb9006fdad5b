"""`sparsebench data`: list the real data sets, fetch them, add copies that you already have."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suites.data.catalogue import DataSet


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "data", help="list, fetch and add the real data sets", description=__doc__
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="list the data sets, and whether they are here")
    listing.add_argument("--json", action="store_true", help="machine-readable")
    listing.set_defaults(run=run_list)

    fetching = actions.add_parser("fetch", help="download from the publishers")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="a data set's name")
    fetching.set_defaults(run=run_fetch)

    adding = actions.add_parser("add", help="verify and import a copy that you already have")
    adding.add_argument("name", metavar="NAME", help="the data set's name")
    adding.add_argument("path", metavar="PATH", type=_path, help="a file, folder or archive")
    adding.set_defaults(run=run_add)


def _path(text: str) -> Path:
    """Return a path; an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path; give a file, folder or archive")
    return Path(text)


def run_list(arguments: argparse.Namespace) -> int:
    """Show every data set, whether it is here, and where or how to get it."""
    from bench.cli.output import print_json, print_table  # noqa: PLC0415
    from suites.data.catalogue import CATALOGUE  # noqa: PLC0415
    from suites.data.folder import data_folder  # noqa: PLC0415

    folder = data_folder()
    rows = [_row(data_set, folder) for data_set in CATALOGUE]
    if arguments.json:
        print_json({"folder": str(folder), "data_sets": rows})
        return 0
    shown = ("name", "state", "description", "licence", "next")
    print_table(f"Data sets in {folder}", [{key: row[key] for key in shown} for row in rows])
    return 0


def run_fetch(arguments: argparse.Namespace) -> int:
    """Download what is missing of the named data sets."""
    from suites.data.catalogue import data_set  # noqa: PLC0415
    from suites.data.fetch import fetch  # noqa: PLC0415
    from suites.data.folder import data_folder  # noqa: PLC0415

    folder = data_folder()
    # All names are looked up before anything is downloaded.
    for chosen in [data_set(name) for name in arguments.names]:
        _report(chosen, fetch(chosen, folder), folder)
    return 0


def run_add(arguments: argparse.Namespace) -> int:
    """Verify and copy what the user has of a data set."""
    from suites.data.add import add  # noqa: PLC0415
    from suites.data.catalogue import data_set  # noqa: PLC0415
    from suites.data.folder import data_folder  # noqa: PLC0415

    chosen, folder = data_set(arguments.name), data_folder()
    _report(chosen, add(chosen, arguments.path, folder), folder)
    return 0


def _row(data_set: "DataSet", folder: Path) -> dict[str, str]:
    from suites.data.folder import presence  # noqa: PLC0415

    found = presence(data_set, folder)
    wrong = "".join(f"{file.path} does not have the published size; " for file in found.wrong_size)
    return {
        "name": data_set.name,
        "state": found.state,
        "description": data_set.description,
        "licence": data_set.licence,
        "home_page": data_set.home_page,
        "where": str(folder / data_set.name),
        "next": f"in {data_set.name}/" if found.state == "present" else wrong + data_set.how_to_get,
    }


def _report(data_set: "DataSet", written: list[Path], folder: Path) -> None:
    from suites.data.folder import presence  # noqa: PLC0415

    lines = [f"verified and written {path}" for path in written]
    lines = lines or [f"already in {folder / data_set.name}, and intact"]
    lines += [f"{file.name} is still missing" for file in presence(data_set, folder).missing]
    for line in lines:
        print(f"{data_set.name}: {line}")  # noqa: T201
