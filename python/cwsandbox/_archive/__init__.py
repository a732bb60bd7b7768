"""File trees as tar archives: writing one, and reading one that nobody vouches for. Knows nothing of sandboxes."""
