"""Sandboxes for other frameworks: one module for each, imported by the framework or by name. None imports another."""
