"""Adapters for services that run elsewhere. Each module needs the `cloud` extra and is imported only when it is used."""
