"""Real data: where it comes from, where it lies, how it is read, how it becomes sparse sites."""
