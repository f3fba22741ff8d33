"""Ingest: any foreign file of time series into a clean, profiled dataset version."""

from core.analysis.ingest.convert import CHOICES, Options, asked, check, convert, export, inspect
from core.analysis.ingest.manifest import Manifest

__all__ = ['CHOICES', 'Manifest', 'Options', 'asked', 'check', 'convert', 'export', 'inspect']
