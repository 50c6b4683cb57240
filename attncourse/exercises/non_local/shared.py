"""What goes wrong where gamma times what was gathered is added: DANet's two attentions."""

from attncourse.exercises.edits import often, wrong

# fmt: off
GAMMA = (
    *often(
        wrong("gamma_missing", "self.gamma * unpack", "unpack",
              "gamma is missing: you add what was gathered as if gamma were 1, so the layer does not"
              " start as the identity."),
        wrong("residual_missing", "x + self.gamma", "self.gamma",
              "The residual is missing: x + …"),
    ),
    wrong("gamma_on_x", "x + self.gamma * unpack", "self.gamma * x + unpack",
          "gamma multiplies x. It multiplies what was gathered."),
    wrong("gamma_on_both", "x + self.gamma * unpack", "self.gamma * (x + unpack",
          "gamma multiplies the sum. It multiplies what was gathered, and x is added as it is.",
          ('"b c *")[0]', '"b c *")[0])')),
    wrong("blended", "x + self.gamma", "(1 - self.gamma) * x + self.gamma",
          "You take 1 − gamma of x. All of x is kept: x + gamma …"),
    wrong("neither", "x + self.gamma * unpack", "unpack",
          "You return what was gathered: gamma and the residual are missing."),
    wrong("gamma_plus_one", "self.gamma * unpack", "(1 + self.gamma) * unpack",
          "You multiply by 1 + gamma. It is gamma, which starts at 0."),
)
# fmt: on
