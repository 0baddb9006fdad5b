"""What an archive of runs says: in words, as a page, as a section of a report."""
