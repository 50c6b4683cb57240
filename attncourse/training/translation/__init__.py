"""English to German on Multi30k, or any folder of parallel text, with the Transformer of
chapter 04."""
