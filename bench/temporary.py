"""Folders that are removed with all that is in them, also where their user is interrupted."""

import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType


class TemporaryFolder:
    """Makes a folder for a `with` block, which is given its path.

    Python's own `TemporaryDirectory` leaves an empty folder behind if it is interrupted while the
    system makes it, which takes milliseconds on some file systems.

    Args:
        prefix: of the folder's name.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.gettempdir()) / f"{prefix}{secrets.token_urlsafe(6)}"

    def __enter__(self) -> Path:
        """Make it, for nobody else to read."""
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:  # another's
            raise
        except BaseException:  # the system may have made it all the same
            self._remove()
            raise
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove it; what others put there meanwhile or hold on to does not matter any more."""
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
