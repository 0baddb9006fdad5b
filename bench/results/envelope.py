"""What all kinds of run files share: each says what it is, holds data only, and is written once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from bench.errors import DataError, ForeignFileError, UserError
from bench.files import make_folder, write_once

LARGEST_FILE_BYTES = 2**30
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, no UTF-8, or nested without end."""
Document = TypeVar("Document")


class _Envelope(msgspec.Struct):
    """The two fields by which a file says what it is, in any version."""

    format: str = ""
    schema: int = 0


@dataclass(frozen=True)
class FileKind(Generic[Document]):
    """A kind of run file.

    Attributes:
        words: what such a file is called, with its article.
        format: what it says that it is.
        schema: the newest version of it that is read here.
        document: the type of all that it holds.
    """

    words: str
    format: str
    schema: int
    document: type[Document]

    def decode(self, content: bytes, name: str) -> Document:
        """Read a file that is in memory already.

        Raises:
            DataError: naming it, if it is truncated, damaged, of a newer schema, or not of this kind.
        """
        self.check(content, name)
        try:
            return msgspec.json.decode(content, type=self.document)
        except UNDECODABLE as error:
            raise DataError(f"{name} is damaged: {error}") from error

    def check(self, content: bytes, name: str) -> None:
        """Make sure that a file says that it is of this kind.

        Raises:
            ForeignFileError: if it is whole, and says something else.
            DataError: if it is no JSON, or of a newer schema.
        """
        try:
            envelope = msgspec.json.decode(content, type=_Envelope)
        except msgspec.ValidationError as error:
            raise ForeignFileError(f"{name} is not {self.words}: {error}") from error
        except UNDECODABLE as error:
            raise DataError(f"{name} is truncated, or not JSON at all: {error}") from error
        if envelope.format != self.format:
            raise ForeignFileError(f"{name} is not {self.words}: it does not say {self.format!r}")
        if envelope.schema > self.schema:
            raise DataError(
                f"{name} has schema {envelope.schema}, newer than the {self.schema} that this "
                f"version reads: update sparsebench"
            )
        if envelope.schema < 1:
            raise DataError(f"{name} has no schema version")

    def is_claimed_by(self, path: Path) -> bool:
        """Whether a file says that it is of this kind, sound or not."""
        try:
            return msgspec.json.decode(read(path), type=_Envelope).format == self.format
        except (DataError, *UNDECODABLE):
            return False


def read(path: Path) -> bytes:
    """Read a file of any kind.

    Raises:
        DataError: if it cannot be read, or is too large to be one.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > LARGEST_FILE_BYTES:
        raise DataError(f"{path} is larger than {LARGEST_FILE_BYTES:,} bytes")
    return content


def write(content: bytes, target: Path) -> None:
    """Write a run file, atomically and once, in a folder that is made where it is missing.

    Raises:
        UserError: if the target exists or cannot be written.
    """
    try:
        make_folder(target.parent)
        write_once(content, target)
    except FileExistsError as error:
        if not target.parent.is_dir():
            raise UserError(f"cannot write {target}: {target.parent} is not a folder") from error
        raise UserError(f"{target} exists; a run file is written once: name another") from error
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
