"""Of several exercises of the chapter: non_local."""

from einops import rearrange


def halves(w, m):
    return w[:m], w[m:]


def added(q, k, w_q, w_k):
    return (q @ w_q)[..., :, None] + (k @ w_k)[..., None, :]


def rectified(scores):
    return scores.relu()


def divided_by_keys(scores, q, k):
    return scores / k.shape[-2]


def concatenation_recipe(
    cutting=halves, adding=added, rectifying=rectified, dividing=divided_by_keys
):
    """`concatenation_weights` with some of its steps replaced."""

    def answer(q, k, w):
        return dividing(rectifying(adding(q, k, *cutting(w, q.shape[-1]))), q, k)

    return answer


def key_first(w, m):
    """The halves of w are exchanged: the first reads the query, the second the key."""
    return w[m:], w[:m]


def not_rectified(scores):
    """The relu is missing."""
    return scores


def weights_times_values(weights, v):
    return weights @ v


def flat(x):
    return rearrange(x, "b c ... -> b (...) c")


def gamma_and_residual(self, y, x):
    return x + self.gamma * y


def gamma_missing(self, y, x):
    """gamma is missing: you add what was gathered as if gamma were 1, so the layer does not
    start as the identity."""
    return x + y


def residual_missing(self, y, x):
    """The residual is missing: x + …"""
    return self.gamma * y


def gamma_on_x(self, y, x):
    """gamma multiplies x. It multiplies what was gathered."""
    return self.gamma * x + y


def gamma_on_both(self, y, x):
    """gamma multiplies the sum. It multiplies what was gathered, and x is added as it is."""
    return self.gamma * (x + y)


def blended(self, y, x):
    """You take 1 − gamma of x. All of x is kept: x + gamma …"""
    return (1 - self.gamma) * x + self.gamma * y


def gated_by_position(self, y, x):
    """You multiply x with what was gathered. It is added."""
    return x * (self.gamma * y)


def gamma_sigmoid(self, y, x):
    """You put gamma through a sigmoid: it would start at 1/2. It is taken as it is."""
    return x + self.gamma.sigmoid() * y


def gamma_tanh(self, y, x):
    """You put gamma through a tanh. It is taken as it is."""
    return x + self.gamma.tanh() * y


def gathered_subtracted(self, y, x):
    """You subtract what was gathered. It is added."""
    return x - self.gamma * y


def rectified_in_the_end(self, y, x):
    """You put a relu at the end. There is none: then gamma = 0 would not leave x as it is."""
    return (x + self.gamma * y).relu()


def x_scaled_by_gathered(self, y, x):
    """You multiply x by 1 + gamma times what was gathered. It is added to x."""
    return x * (1 + self.gamma * y)


def neither(self, y, x):
    """You return what was gathered: gamma and the residual are missing."""
    return y


def gamma_plus_one(self, y, x):
    """You multiply by 1 + gamma. It is gamma, which starts at 0."""
    return x + (1 + self.gamma) * y
