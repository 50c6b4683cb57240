"""Chapter 04, the Transformer: what is asked, what goes wrong, what helps."""
