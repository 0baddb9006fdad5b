"""Run files: their types, how they are written once and read back, and their exports."""
