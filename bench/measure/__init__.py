"""Measuring: verified first, interleaved in rounds, in several fresh processes, with a stated stop."""
