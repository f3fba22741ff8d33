"""Adapters for every port."""
