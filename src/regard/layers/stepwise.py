"""A linear map asked once per time step, whose weight gradient is computed once for all steps of `unrolled()`."""

from torch import Tensor, nn

from regard.equation.unrolled import linear


class StepLinear(nn.Linear):
    """`torch.nn.Linear` that takes part in `unrolled()`; outside of it, exactly `torch.nn.Linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """`input · Wᵀ + b`."""
        return linear(input, self.weight, self.bias)
