"""A module whose import ends the process."""

raise SystemExit(1)
