"""Homes that servers of tests begin with."""

import subprocess
from pathlib import Path

KEPT = ('postgres', 'secrets')


def copy_home(made: Path, home: Path) -> None:
    """Give a home that has no database that of another, whose server does not run."""
    subprocess.run(['cp', '-a', *(str(made / name) for name in KEPT), str(home)], check=True)
