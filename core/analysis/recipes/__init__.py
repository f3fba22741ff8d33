"""Cleaning recipes: steps that make analysable rows of clean rows, kept with the version and replayed."""

from core.analysis.recipes.recipe import (
    MOST_STEPS,
    Cooked,
    Preview,
    Report,
    check,
    cook,
    fields_of,
    preview,
    steps_of,
    with_step,
)
from core.analysis.recipes.steps import AGGREGATES, CASTS, CLIPS, FILLS, STEPS, Field

__all__ = [
    'AGGREGATES',
    'CASTS',
    'CLIPS',
    'FILLS',
    'MOST_STEPS',
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
    'with_step',
]
