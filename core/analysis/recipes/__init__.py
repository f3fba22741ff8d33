"""Cleaning recipes: steps that make analysable rows of clean rows, kept with the version and replayed."""

from core.analysis.recipes.recipe import Cooked, Preview, Report, check, cook, preview
from core.analysis.recipes.steps import Field

__all__ = ['Cooked', 'Field', 'Preview', 'Report', 'check', 'cook', 'preview']
