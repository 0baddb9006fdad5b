"""Comparing a file's bytes with the digest that the catalogue gives for them."""

import hashlib
from pathlib import Path

from suites.data.catalogue import DataFile


def is_published(file: DataFile, data: bytes | Path) -> bool:
    """Whether bytes, or those of a file, are what the publisher has at the file's address."""
    algorithm, _, expected = file.digest.partition(":")
    if isinstance(data, bytes):
        fits = file.size_bytes in {None, len(data)}
        return fits and hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() == expected
    if not data.is_file() or file.size_bytes not in {None, data.stat().st_size}:
        return False
    with data.open("rb") as opened:
        return hashlib.file_digest(opened, algorithm).hexdigest() == expected
