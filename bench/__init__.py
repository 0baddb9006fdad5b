"""The harness of sparsebench: what is computed, whether it is right, and how long it takes.

The package is imported before anything is known of the user's wishes, so it imports nothing itself.
"""
