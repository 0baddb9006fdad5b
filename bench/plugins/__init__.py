"""Finding implementations and suites, and running their code for the first time without harm."""
