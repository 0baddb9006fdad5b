"""What the tests of our own implementations share: a NaN among values whose maximum is taken."""

import torch

from bench.operators import max_pooling


def check_that_a_nan_is_pooled_as_torch_pools_it(subject, batch):
    """Compare values and gradients, exactly: the last NaN of a window is its maximum.

    Args:
        subject: the implementation.
        batch: 2D, with channels enough that some windows hold none of the NaN put into it.
    """
    torch.manual_seed(0)
    batch.features[torch.rand(batch.features.shape) < 0.3] = torch.nan
    module = subject.max_pooling(max_pooling(2, 3, 2, padding=1))
    features = batch.features.clone().requires_grad_()
    output = subject.decode(module(subject.encode(batch.with_features(features))))
    others = batch.features.clone().requires_grad_()
    dense = others.new_zeros((batch.batch_size, *batch.grid_size, others.shape[1]))
    dense = dense.index_put(tuple(batch.coordinates.long().T), others).movedim(-1, 1)
    if others.dtype in {torch.float16, torch.bfloat16}:
        dense = dense.float()
    pooled = torch.nn.functional.max_pool2d(dense, 3, 2, 1).movedim(1, -1)
    wanted = pooled[tuple(output.coordinates.long().T)].to(others.dtype)
    assert wanted.isnan().any()
    assert not wanted.isnan().all()
    torch.testing.assert_close(output.features, wanted, rtol=0, atol=0, equal_nan=True)
    upstream = torch.randint(1, 9, wanted.shape).to(others.dtype)  # sums are exact
    output.features.backward(upstream)
    wanted.backward(upstream)
    torch.testing.assert_close(features.grad, others.grad, rtol=0, atol=0)
