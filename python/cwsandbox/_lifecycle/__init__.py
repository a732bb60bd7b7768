"""The coroutines of the policy loop that create a sandbox, watch it, stop it and find others."""
