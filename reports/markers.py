"""The lines by which files are known to be ours, and may be overwritten."""

REPORT = '<meta name="generator" content="sparsebench">'
"""Of the page of a run, or of trainings."""
COMPARISON = '<meta name="generator" content="sparsebench comparison">'
GALLERY = '<meta name="generator" content="sparsebench gallery">'
HISTORY = '<meta name="generator" content="sparsebench history">'
MARKDOWN = "<!-- generator: sparsebench -->"
MARKDOWN_COMPARISON = "<!-- generator: sparsebench compare -->"
