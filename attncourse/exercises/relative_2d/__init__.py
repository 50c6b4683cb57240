"""Chapter 08, relative positions in the plane: what is asked, what goes wrong, what helps."""
