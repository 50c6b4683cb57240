"""What is given is left as it was."""

import torch
from told import HEADS, first_line

from attncourse import check
from solutions.multi_head import MultiHeadAttention


def test_a_layer_that_changes_its_own_weights_is_caught():
    class Shrinking(MultiHeadAttention):
        def forward(self, x, context=None, mask=None):
            y = super().forward(x, context, mask)
            self.out.weight.data.mul_(0.5)
            return y

    verdict = check(HEADS, Shrinking)
    assert verdict.slip == "changes_its_weights"
    assert "`out.weight`" in first_line(verdict)


def test_traces_of_gradients_are_caught():
    def cam(own=lambda t: t.detach(), slope=None, end=lambda t: t.detach()):
        def grad_cam(maps, head, classes, rectify=True):
            a = own(maps).requires_grad_()
            score = head(a)[torch.arange(len(a)), classes].sum()
            (g,) = torch.autograd.grad(score, a) if slope is None else slope(score, a)
            y = (g.mean((2, 3), keepdim=True) * end(a)).sum(1)
            return y.relu() if rectify else y

        return grad_cam

    def backward(score, a):
        score.backward()
        return (a.grad,)

    assert check("spatial.grad_cam", cam()).status == "passed"
    asked = check("spatial.grad_cam", cam(own=lambda t: t))
    assert asked.slip == "changes_its_input"
    assert "makes its input `maps` ask for gradients" in first_line(asked)
    left = check("spatial.grad_cam", cam(slope=backward))
    assert left.slip == "leaves_gradients"
    assert "in the weights of `head`" in first_line(left)
    assert check("spatial.grad_cam", cam(end=lambda t: t)).slip == "graph_kept"
