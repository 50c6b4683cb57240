"""Chapter 00, shapes: what is asked, what goes wrong, what helps."""
