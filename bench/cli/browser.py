"""The browser that prints a page: whichever of Chromium's family is installed."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.cli.files import write
from bench.errors import UserError
from bench.temporary import TemporaryFolder

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 300


def find() -> str | None:
    """Return the path of a browser, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def print_page(page: Path, target: Path) -> None:
    """Print a page as PDF.

    Raises:
        UserError: if there is no browser, or it fails, or the target cannot be written.
    """
    browser = find()
    if browser is None:
        raise UserError(f"--pdf needs Chromium, but none of {', '.join(NAMES)} is installed")
    with TemporaryFolder("sparsebench-print-") as folder:
        printed = folder / "page.pdf"
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            f"--user-data-dir={folder}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={printed}",
            page.resolve().as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # Chromium's sandbox does not run for the superuser. The page is ours, and loads nothing.
            command.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"{browser} did not print {page} within {SECONDS} s") from error
        if not printed.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"{browser} printed nothing: {last}")
        write(target, printed.read_bytes())
