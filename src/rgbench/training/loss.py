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
    labels : Tensor of int64, shape (n,), or of float32, shape (n, n_classes)
        Class indices, or the probability of each class.
    activation : {"softmax", "sigmoid"}
        The network's output activation.
    class_weights : Tensor, shape (n_classes,), optional
        Weight of each class; the mean is weighted, as in `torch.nn.functional.nll_loss`. A source with
        probabilities weighs what its classes weigh in the mean.
    label_smoothing : float
        Share of the target spread evenly over the classes (Szegedy et al. 2016).

    Returns
    -------
    Tensor
        A scalar, float32.

    Notes
    -----
    Probabilities of 0 and 1 give the loss of the class indices. `torch.nn.functional.cross_entropy` divides by the
    number of sources where it is given probabilities, and by their weight where it is given indices.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> print(f"{cross_entropy(logits, torch.tensor([[0.5, 0.5], [0.0, 1.0]]), 'softmax'):.4f}")
    0.7201
    """
    scores = log_probabilities(logits.float(), activation)
    if labels.is_floating_point():
        weighted = labels if class_weights is None else labels * class_weights
        weights = weighted.sum(dim=1)
        loss = -(weighted * scores).sum() / weights.sum()
    else:
        weights = torch.ones_like(scores[:, 0]) if class_weights is None else class_weights[labels]
        loss = F.nll_loss(scores, labels, weight=class_weights)
    if label_smoothing == 0.0:
        return loss
    uniform = -(scores.mean(dim=1) * weights).sum() / weights.sum()
    return (1 - label_smoothing) * loss + label_smoothing * uniform


def balanced_weights(labels: Tensor, n_classes: int) -> Tensor:
    """Give class weights inversely proportional to the class counts, with mean 1 over the sources.

    Of probabilities (n, n_classes) the counts are their sums.
    """
    counts = labels.sum(dim=0) if labels.is_floating_point() else torch.bincount(labels, minlength=n_classes)
    counts = counts.clamp(min=1).float()
    return len(labels) / (n_classes * counts)
