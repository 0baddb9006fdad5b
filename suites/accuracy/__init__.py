"""Suite `accuracy`: what the papers trained, on which data, and what they reached."""
