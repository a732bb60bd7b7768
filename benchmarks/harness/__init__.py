"""Runs clients through the scenarios in turn and makes a table of what they cost."""
