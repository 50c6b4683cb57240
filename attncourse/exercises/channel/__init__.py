"""Chapter 05, channel attention: what is asked, what goes wrong, what helps."""
