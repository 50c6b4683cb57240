"""The diagrams of the chapters' mechanisms, one file a chapter; drawn with `book/diagrams`.

A notebook shows one by `plots.show(spatial.channel_gate(), "what the picture shows")`.
"""
