"""Chapter 01, scaled dot-product attention: what is asked, what goes wrong, what helps."""
