"""A GPT of 124 million weights (untied head) at batch 8 of 1024 tokens, in the stages of a published
series of optimizations. python gpt.py plain|mask|bfloat16|modules|attention"""

import math
import sys

import torch
from common import on_card, report
from torch import nn
from torch.nn import functional

VOCABULARY, TOKENS, WIDTH, HEADS, DEPTH, DROP, BATCH = 50257, 1024, 768, 12, 12, 0.1, 8
STAGES = ("plain", "mask", "bfloat16", "modules", "attention")
STAGE = STAGES.index(sys.argv[1])
HAS_MASK_BUFFER = STAGE < STAGES.index("mask")
HAS_MODULES = STAGE >= STAGES.index("modules")
HAS_ATTENTION = STAGE >= STAGES.index("attention")


class PlainNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        mean = x.mean(dim=-1, keepdim=True)
        variance = x.var(dim=-1, keepdim=True, unbiased=False)
        normal = (x - mean) / torch.sqrt(variance + 1e-5)
        return self.scale * normal + self.shift


class PlainGelu(nn.Module):
    def forward(self, x):
        root = torch.sqrt(torch.tensor(2.0 / math.pi))
        return 0.5 * x * (1 + torch.tanh(root * (x + 0.044715 * torch.pow(x, 3))))


class PlainAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROP)
        if HAS_MASK_BUFFER:
            self.register_buffer("mask", torch.triu(torch.ones(TOKENS, TOKENS), diagonal=1))

    def forward(self, x):
        batch, tokens, _ = x.shape
        key, query, value = self.key(x), self.query(x), self.value(x)
        split = (batch, tokens, HEADS, WIDTH // HEADS)
        key = key.view(split).transpose(1, 2)
        query = query.view(split).transpose(1, 2)
        value = value.view(split).transpose(1, 2)
        scores = query @ key.transpose(2, 3)
        if HAS_MASK_BUFFER:
            mask = self.mask.bool()[:tokens, :tokens]
        else:
            mask = torch.triu(torch.ones(tokens, tokens, dtype=torch.bool, device=x.device), 1)
        scores.masked_fill_(mask, -torch.inf)
        weights = torch.softmax(scores / key.shape[-1] ** 0.5, dim=-1)
        weights = self.dropout(weights)
        joined = (weights @ value).transpose(1, 2)
        joined = joined.reshape(batch, tokens, WIDTH)
        return self.out(joined)


class FusedAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        drop = DROP if self.training else 0.0
        joined = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=drop, is_causal=True
        )
        return self.out(joined.transpose(1, 2).contiguous().view(batch, tokens, WIDTH))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        norm = nn.LayerNorm if HAS_MODULES else PlainNorm
        self.attention = FusedAttention() if HAS_ATTENTION else PlainAttention()
        self.feed_forward = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH),
            nn.GELU(approximate="tanh") if HAS_MODULES else PlainGelu(),
            nn.Linear(4 * WIDTH, WIDTH),
        )
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.dropout = nn.Dropout(DROP)

    def forward(self, x):
        shortcut = x
        x = self.norm1(x)
        x = self.attention(x)
        x = self.dropout(x)
        x = x + shortcut
        shortcut = x
        x = self.norm2(x)
        x = self.feed_forward(x)
        x = self.dropout(x)
        x = x + shortcut
        return x


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, WIDTH)
        self.position = nn.Embedding(TOKENS, WIDTH)
        self.dropout = nn.Dropout(DROP)
        self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(WIDTH) if HAS_MODULES else PlainNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, ids):
        tokens = self.token(ids)
        positions = self.position(torch.arange(ids.shape[1], device=ids.device))
        x = tokens + positions
        x = self.dropout(x)
        x = self.blocks(x)
        x = self.norm(x)
        return self.head(x)


def loss_of(model, inputs, targets):
    inputs, targets = inputs.cuda(), targets.cuda()
    logits = model(inputs)
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


model = on_card(Gpt, torch.bfloat16 if STAGE >= STAGES.index("bfloat16") else None)
optimizer = torch.optim.AdamW(
    model.parameters(), lr=5e-4, weight_decay=0.1, fused=STAGE >= STAGES.index("bfloat16") or None
)
host = torch.zeros(BATCH, TOKENS, dtype=torch.long)
for _ in range(3):
    optimizer.zero_grad()
    loss = loss_of(model, host, host)
    loss.backward()
    optimizer.step()
    model.eval()
    with torch.no_grad():
        for _ in range(2):
            loss_of(model, host, host).item()
    model.train()


def write(words):
    ids = torch.zeros(1, 4, dtype=torch.long).cuda()
    for _ in range(words):
        with torch.no_grad():
            logits = model(ids[:, -TOKENS:])
        logits = logits[:, -1, :]
        ids = torch.cat((ids, torch.argmax(logits, dim=-1, keepdim=True)), dim=1)


# Some words are written at the end of an epoch, which is where the published figures were read.
model.eval()
write(50)
report()
