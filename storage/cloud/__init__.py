"""Adapters for services that run elsewhere. Each module needs the `cloud` extra and is imported when it is used."""
