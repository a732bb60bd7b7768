"""Sandboxes that belong together, and Python functions that run in them."""
