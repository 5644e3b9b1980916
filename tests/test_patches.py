"""Which positions are drawn, and the features there."""

import torch

from gcl.contrast.patches import draw_patches, gather_patches


def test_patches_are_gathered_from_either_memory_format():
    features, ids = torch.rand(3, 5, 6, 7), torch.stack([torch.randperm(42)[:9] for _ in range(3)])
    expected = torch.stack([features[image].flatten(1).T[ids[image]] for image in range(3)])
    for form in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(gather_patches(features.contiguous(memory_format=form), ids), expected)


def test_patches_differ_between_images_layers_and_calls_and_follow_the_seed():
    features = torch.rand(2, 3, 8, 8)
    torch.manual_seed(5)
    first, second = draw_patches(features, 10), draw_patches(features, 10)
    torch.manual_seed(5)
    assert torch.equal(first, draw_patches(features, 10))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert all(len(set(row.tolist())) == 10 for row in first)
