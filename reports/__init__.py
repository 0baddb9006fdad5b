"""Turns run files into one HTML page, Markdown and CSV; imports bench, not what measures."""
