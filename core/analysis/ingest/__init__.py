"""Ingest: any foreign file of time series into a clean, profiled dataset version."""

from core.analysis.ingest.convert import Options, convert, export, inspect
from core.analysis.ingest.manifest import Manifest

__all__ = ['Manifest', 'Options', 'convert', 'export', 'inspect']
