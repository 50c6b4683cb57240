"""Chapter 13, the capstone: what is asked, what goes wrong, what helps."""
