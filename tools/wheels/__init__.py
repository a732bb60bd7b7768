"""Builds the wheels and proves them: `make wheels` (docs/packaging.md)."""
