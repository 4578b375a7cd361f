"""Muon: momentum whose direction is made orthogonal, for the matrices inside a network (K. Jordan, "Muon: an
optimizer for hidden layers in neural networks", 2024). Matrices of one shape are handled together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients of the quintic
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Parameters have two dimensions. `weight_decay` is decoupled, Nesterov's momentum is used, and an update
    of a tall matrix is scaled by the root of height over width."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": rate, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for parameters in alike.values():
                self._update(parameters, group)
        return None

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        wanted = []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            wanted.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
        directions = orthogonal(torch.stack(wanted))
        height, width = parameters[0].shape
        scale = max(1.0, height / width) ** 0.5
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(direction, alpha=-group["lr"] * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly: singular values of about 1, the same singular vectors.

    matrices  # (N, H, W) -> (N, H, W), of their own type; computed in bfloat16: a direction needs no more
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.to(torch.bfloat16)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    direction: Tensor = x.mT if tall else x
    return direction.to(matrices.dtype)
