"""Options to messages and messages to values: pure functions."""
