from brainexp.model.arithmetic import DENSE, arithmetic


def test_dense_networks_multiply_densely():
    import torch

    told = arithmetic(torch.nn.Sequential(torch.nn.Linear(4, 4)), "float32", "cuda")

    assert told == "dense matrix products in float32 on cuda"
    assert told.startswith(DENSE)


def test_kernels_of_bitsandbytes_are_named_with_their_device():
    import bitsandbytes as bnb
    import torch

    eight = bnb.nn.Linear8bitLt(64, 64, has_fp16_weights=False)
    four = bnb.nn.Linear4bit(64, 64)

    assert arithmetic(torch.nn.Sequential(eight), "bfloat16", "cuda") == "bitsandbytes int8 kernels on cuda"
    assert arithmetic(torch.nn.Sequential(four), "bfloat16", "cpu") == "bitsandbytes 4-bit kernels on cpu"
