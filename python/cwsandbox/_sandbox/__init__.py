"""Sandbox and what is done with several: the public verbs, a few lines each."""
