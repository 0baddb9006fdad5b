"""What implementations are compared with where nobody names another."""

BASELINE = "dense"
