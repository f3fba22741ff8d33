"""Countries for choosing (`core.countries`)."""

from core.countries import COUNTRIES as COUNTRIES
