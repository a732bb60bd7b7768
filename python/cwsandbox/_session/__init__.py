"""Sandboxes that belong together, and what a program does with them as a whole."""
