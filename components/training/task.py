"""What the training loop asks of whoever wants something trained."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch


class Task(Protocol):
    """A model with its batches and its loss, built from a JSON spec by the function named in spec["task"].

    A batch is a pure function of (step, rank, world): so a killed run resumes at any step with the same data, and the
    ranks of a step share one global batch without overlap.
    """

    model: torch.nn.Module
    steps: int

    def batch(self, step: int, rank: int, world: int) -> tuple[dict[str, torch.Tensor], Sequence[str]]:
        """This rank's share of global step `step`, and the names of its samples for error messages."""

    def loss(self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor], step: int) -> dict[str, torch.Tensor]:
        """Named scalar terms; their sum is minimised. `model` is the DeepSpeed engine: call it, do not reach inside."""

    def artifacts(self) -> dict[str, Any]:
        """The student's config.json: all that is needed to build the model again beside its safetensors."""
