"""Chapter 07, non-local and dual attention: what is asked, what goes wrong, what helps."""
