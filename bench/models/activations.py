"""Memory that training keeps per clip, counted exactly."""

from __future__ import annotations

import torch


def saved_activation_bytes(model: torch.nn.Module, features: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass of one training forward pass.

    Each storage counts once; parameters and buffers do not count, nor does the input.
    The model's mode and batch-norm statistics are restored.
    """
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    own.add(features.untyped_storage().data_ptr())

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself, it would hold the graph that holds it, for good

    training = model.training
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    random_state = torch.get_rng_state()
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(features)
        # The graph must live until the sum is taken, or storages are freed and reused.
        total = sum(kept.values())
    del output
    model.train(training)
    torch.set_rng_state(random_state)
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    return total
