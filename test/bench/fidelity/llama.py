"""Llama-7B's weights, gradients and AdamW in bfloat16 (no foreach): the peak lies in the step."""

import torch
from common import on_card, report
from torch import nn
from torch.nn import functional

WIDTH, HIDDEN, HEADS, DEPTH, VOCABULARY = 4096, 11008, 32, 32, 32000


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (
            nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4)
        )
        self.gate, self.up = (nn.Linear(WIDTH, HIDDEN, bias=False) for _ in range(2))
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)

    def forward(self, x):
        normal = self.norm1(x)
        heads = [
            part(normal).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        ]
        joined = functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.out(joined.transpose(1, 2).flatten(2))
        normal = self.norm2(x)
        return x + self.down(functional.silu(self.gate(normal)) * self.up(normal))


def build():
    layers = [Layer() for _ in range(DEPTH)]
    head = nn.Linear(WIDTH, VOCABULARY, bias=False)
    return nn.Sequential(nn.Embedding(VOCABULARY, WIDTH), *layers, nn.RMSNorm(WIDTH), head)


model = on_card(build, torch.bfloat16)
optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
for _ in range(2):
    ids = torch.zeros(2, 256, dtype=torch.long).cuda()
    loss = functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
report()
