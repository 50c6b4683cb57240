"""Chapter 11, fast attention: what is asked, what goes wrong, what helps."""
