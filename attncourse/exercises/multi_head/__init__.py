"""Chapter 02, multi-head attention: what is asked, what goes wrong, what helps."""
