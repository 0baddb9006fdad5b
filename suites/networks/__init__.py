"""The networks of the papers as plain data, what they are fed with, and the suite `networks`."""
