"""What the disk is asked to do for good."""

import os
from pathlib import Path


def to_disk(path: Path) -> None:
    """Return when what a file holds, or which names a folder holds, would survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
