"""Of several exercises of the chapter: multi_head."""

from einops import rearrange


def merged_features_outside(x):
    """You put the features outside: "(d head)". What `split_heads` cut as "(head d)" must be
    put together as "(head d)"."""
    return rearrange(x, "b head n d -> b n (d head)")
