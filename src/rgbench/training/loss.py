"""The loss of a batch, in nats: cross-entropy of the class probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_CLIP = math.log(1e-7)


def log_probabilities(logits: Tensor, activation: str) -> Tensor:
    """Give log class probabilities of logits (n, n_classes), as Keras' cross-entropy sees them.

    A softmax output is normalised from its logits. Sigmoid outputs are divided by their sum and
    clipped at 1e-7 (measured on the original; see the network `atlas-x-id`).
    """
    if activation == "softmax":
        return F.log_softmax(logits, dim=1)
    scores = F.logsigmoid(logits)
    return torch.clamp(scores - torch.logsumexp(scores, dim=1, keepdim=True), min=_CLIP)


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    activation: str,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Give the mean cross-entropy of a batch.

    Parameters
    ----------
    logits : Tensor, shape (n, n_classes)
        Network outputs before the output activation.
    labels : Tensor of int64, shape (n,)
        Class indices.
    activation : {"softmax", "sigmoid"}
        The network's output activation.
    class_weights : Tensor, shape (n_classes,), optional
        Weight of each class; the mean is weighted, as in `torch.nn.functional.nll_loss`.
    label_smoothing : float
        Share of the target spread evenly over the classes (Szegedy et al. 2016).

    Returns
    -------
    Tensor
        A scalar, float32.
    """
    scores = log_probabilities(logits.float(), activation)
    loss = F.nll_loss(scores, labels, weight=class_weights)
    if label_smoothing == 0.0:
        return loss
    weights = torch.ones_like(labels, dtype=scores.dtype) if class_weights is None else class_weights[labels]
    uniform = -(scores.mean(dim=1) * weights).sum() / weights.sum()
    return (1 - label_smoothing) * loss + label_smoothing * uniform


def balanced_weights(labels: Tensor, n_classes: int) -> Tensor:
    """Give class weights inversely proportional to the class counts, with mean 1 over the sources."""
    counts = torch.bincount(labels, minlength=n_classes).clamp(min=1).float()
    return len(labels) / (n_classes * counts)
