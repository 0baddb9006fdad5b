"""Commands for a checkout; nothing of them is installed."""
