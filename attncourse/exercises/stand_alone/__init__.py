"""Chapter 09, stand-alone self-attention: what is asked, what goes wrong, what helps."""
