"""Chapter 03, positions: what is asked, what goes wrong, what helps."""
