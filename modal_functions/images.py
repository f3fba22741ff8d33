"""The images that functions run in: pinned libraries first, our own source last, so that new code builds none anew."""

from pathlib import Path

import modal

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ('core', 'storage', 'modal_functions')
PYTHON = '3.11'
CUDA = 'nvidia/cuda:12.8.1-runtime-ubuntu24.04'


def _with_us(base: modal.Image) -> modal.Image:
    """Add the libraries of the models by their hashes, what LightGBM links to, and our source."""
    pinned = base.apt_install('libgomp1').uv_pip_install(
        requirements=[str(ROOT / 'requirements' / 'compute.txt')], extra_options='--require-hashes'
    )
    return pinned.add_local_python_source(*SOURCE)


CPU = _with_us(modal.Image.debian_slim(python_version=PYTHON))
GPU = _with_us(modal.Image.from_registry(CUDA, add_python=PYTHON))
