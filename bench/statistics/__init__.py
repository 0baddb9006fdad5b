"""What rounds of a few processes say: intervals of times and ratios, and verdicts from them."""
