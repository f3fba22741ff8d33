"""What FastAPI reads of requests, compiled once: each test registers the pages anew, which ask for the same."""

from typing import Any

from fastapi._compat.v2 import ModelField

_compile = ModelField.__post_init__
_compiled: dict[Any, ModelField] = {}


def remember() -> None:
    """Have a field that is described as an earlier one was check values by what was compiled for that."""
    ModelField.__post_init__ = _recall  # type: ignore[assignment, method-assign]


def _recall(field: ModelField) -> None:
    about = field.field_info
    # A query's own `repr` tells neither its bounds nor its description. What is named by its address lives as long as
    # the field that is kept.
    described = repr(list(about.__repr_args__()))
    known = _compiled.setdefault((about.annotation, type(about), described, repr(field.config)), field)
    if known is field:
        _compile(field)
    else:
        field._type_adapter = known._type_adapter
