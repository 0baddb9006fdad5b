"""Turns run files into one HTML page, Markdown and CSV; imports bench's results only."""
