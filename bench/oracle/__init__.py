"""The oracle: what a right implementation returns, computed by torch's dense operators in float64.

Everything that says whether an implementation is right lies here; nothing of it is ever timed.
"""
