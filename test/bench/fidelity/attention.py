"""Scaled dot-product attention by matrix products, float16, (1, 32, 4096, 128), forward alone."""

import torch
from common import report
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
query, key, value = (
    torch.randn(1, 32, 4096, 128, device="cuda", dtype=torch.half, requires_grad=True)
    for _ in range(3)
)
with sdpa_kernel(SDPBackend.MATH):
    result = torch.nn.functional.scaled_dot_product_attention(query, key, value)
report()
