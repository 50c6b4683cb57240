"""Chapter 12, convolution and attention as one: what is asked, what goes wrong, what helps."""
