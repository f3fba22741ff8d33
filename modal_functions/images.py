"""The images that functions run in: pinned libraries first, our own source last, so that new code builds none anew."""

from pathlib import Path

import modal

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ('core', 'storage', 'modal_functions')
PYTHON = '3.11'
TORCH = 'torch==2.13.0'  # as in the Makefile


def _with(*extras: str) -> modal.Image:
    """Return an image with the libraries of the extras by their hashes, and what LightGBM links to."""
    base = modal.Image.debian_slim(python_version=PYTHON).apt_install('libgomp1')
    pinned = [str(ROOT / 'requirements' / f'{extra}.txt') for extra in extras]
    return base.uv_pip_install(requirements=pinned, extra_options='--require-hashes')


CPU = _with('compute').add_local_python_source(*SOURCE)
# pip brings the build for CUDA with its libraries: the machine needs to give the driver only
GPU = _with('compute', 'tft').pip_install(TORCH).add_local_python_source(*SOURCE)
