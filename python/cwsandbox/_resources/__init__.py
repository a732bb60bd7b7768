"""Public verbs about what is not a sandbox, one topic per file."""
