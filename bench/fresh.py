"""Fresh Python processes that find this very harness, and modules where this process finds them."""

import json
import sys

import bench
from bench.plugins.files import path_without_folders

FIND = """
import gc, json, sys
gc.disable()
from importlib.util import module_from_spec, spec_from_file_location
place, path = json.loads(sys.argv.pop(1))
sys.path += [each for each in path if each not in sys.path]
found = spec_from_file_location("bench", place)
sys.modules["bench"] = module_from_spec(found)
found.loader.exec_module(sys.modules["bench"])
"""
"""Importing leaves no garbage worth looking for, and takes an eighth longer while it is looked for."""


def interpreter(code: str) -> list[str]:
    """The start of a command line that runs code with arguments, which are to follow.

    Nothing is found in the working directory, unless this process looks there. The code is to assign
    `path` to `sys.path`; what it imports before comes from the standard library and what is installed,
    where a file beside a test might be called like one of their modules.
    """
    place = [bench.__file__, path_without_folders()]
    return [sys.executable, "-P", "-c", FIND + code, json.dumps(place)]
