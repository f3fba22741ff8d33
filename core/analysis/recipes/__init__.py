"""Cleaning recipes: steps that make analysable rows of clean rows, kept with the version and replayed."""

from core.analysis.recipes.recipe import Cooked, Preview, Report, check, cook, fields_of, preview, steps_of
from core.analysis.recipes.steps import AGGREGATES, CASTS, CLIPS, FILLS, STEPS, Field

__all__ = [
    'AGGREGATES',
    'CASTS',
    'CLIPS',
    'FILLS',
    'STEPS',
    'Cooked',
    'Field',
    'Preview',
    'Report',
    'check',
    'cook',
    'fields_of',
    'preview',
    'steps_of',
]
