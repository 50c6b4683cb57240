"""Chapter 10, sparse attention: what is asked, what goes wrong, what helps."""
