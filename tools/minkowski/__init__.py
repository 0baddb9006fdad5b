"""Builds MinkowskiEngine's CPU library from its published source, and installs it."""
