"""What was trained, beside published figures: tables, curves and pictures."""
