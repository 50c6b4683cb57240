"""Chapter 06, spatial attention: what is asked, what goes wrong, what helps."""
