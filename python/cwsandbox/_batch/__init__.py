"""Many jobs in many sandboxes: what is run, what became of it, and where that is kept."""
