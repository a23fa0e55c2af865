// Published figures of GPU memory, and the program that gives each here.

/** Which of the program's figures was published (test/bench/fidelity/common.py). */
export type Statistic = 'allocated' | 'reserved' | 'peakAllocated' | 'peakReserved' | 'used'

export interface Case {
  /** What was run. */
  readonly name: string
  readonly source: string
  /** PyTorch's version as the source gives it, or its month where it gives none. */
  readonly torch: string
  /** The simulated card. */
  readonly card: string
  /** The card that the source names, where it is not the simulated one. */
  readonly publishedCard?: string
  readonly program: string
  readonly args: readonly string[]
  readonly statistic: Statistic
  readonly published: number
  readonly unit: Unit
  /** Digits behind the point that the source prints. */
  readonly digits: number
  /** The source gives a rounded figure ("about 6 GB"). */
  readonly isAbout?: boolean
  /** From the version that is simulated, or one whose allocations are the same for this program. */
  readonly isClose?: boolean
  /** Where the difference comes from; undefined where nobody knows. */
  readonly explained?: string
}

export const UNITS = { B: 1, MB: 1e6, MiB: 2 ** 20, GB: 1e9, GiB: 2 ** 30 } as const
export type Unit = keyof typeof UNITS

const ISSUES = 'https://github.com/pytorch/pytorch/issues'
const EFFICIENT =
  'https://github.com/ailzhang/EfficientPyTorch/tree/ee5b97e82d7600abb2254170a7c48f4001ab10ed/chapter_07_memory'
const GPT =
  'https://github.com/rasbt/LLMs-from-scratch/tree/06361583d01a650412400ce01cf2be9efaec3b99/ch05/10_llm-training-speed'
const VIT =
  'https://github.com/rasbt/pytorch-memory-optim/blob/2d1ae1e747fe72c7bb74a2a464fe79baa23f174b/logs.md'
const TUTORIAL =
  'https://docs.pytorch.org/tutorials/intermediate/optimizer_step_in_backward_tutorial.html'
const TILEGYM = 'https://github.com/NVIDIA/TileGym/pull/65'

const UNFUSED_TEMPORARIES =
  "before PyTorch pull request 104898, foreach optimizers held one more copy of the weights' size"
const KEPT_LT_WORKSPACES =
  "cuBLASLt's workspaces (1 MiB for each of two threads) are kept since; without them the figures are equal"

/** Programs of a few lines: the book "Efficient training in PyTorch" prints what they gave. */
const book = (
  name: string,
  file: string,
  program: string,
  statistic: Statistic,
  published: number,
  unit: Unit,
  digits: number,
): Case => ({
  ...{ name, source: `${EFFICIENT}/${file}`, torch: '2024 (2.x)', card: 'rtx3090' },
  ...{ publishedCard: 'a card of 24 GB', program: 'small.py', args: [program] },
  ...{ statistic, published, unit, digits },
})

const gpt = (name: string, stage: string, published: number, more: Partial<Case> = {}): Case => ({
  ...{ name: `GPT-2 124M, batch 8 of 1024, ${name}`, source: GPT, torch: '2.6.0+cu124' },
  ...{ card: 'a100', publishedCard: 'A100', program: 'gpt.py', args: [stage] },
  ...{ statistic: 'reserved', published, unit: 'GiB', digits: 4, isClose: true },
  ...more,
})

const vit = (name: string, program: string, published: number, explained?: string): Case => ({
  ...{ name: `ViT-L/16, Adam, ${name}`, source: VIT, torch: '2.1.0.dev20230623+cu118' },
  ...{ card: 'a100', publishedCard: 'not said', program: 'vit.py', args: [program] },
  ...{ statistic: 'peakReserved', published, unit: 'GB', digits: 2 },
  ...(explained === undefined ? {} : { explained }),
})

const crossEntropy = (tokens: number, published: number): Case => ({
  ...{ name: `LM head and its loss, bfloat16, ${tokens} tokens`, source: TILEGYM },
  ...{ torch: 'February 2026 (CUDA 13)', card: 'rtx5080', publishedCard: 'RTX 5070 Ti' },
  ...{ program: 'cross_entropy.py', args: [`${tokens}`], statistic: 'peakAllocated', published },
  ...{ unit: 'MiB', digits: 3, isClose: true },
})

export const CASES: readonly Case[] = [
  {
    ...{ name: 'a first linear layer, afterwards', source: `${ISSUES}/95668` },
    ...{ torch: '2.0.0.dev20230227+cu118', card: 'a10g', program: 'small.py' },
    ...{ args: ['first-linear'], statistic: 'allocated', published: 8519680, unit: 'B', digits: 0 },
  },
  {
    ...{ name: 'a linear layer of 1024 and its output', source: `${ISSUES}/104604`, torch: '2.0' },
    ...{ card: 'a100', publishedCard: 'not said', program: 'small.py', args: ['linear-forward'] },
    ...{ statistic: 'peakAllocated', published: 16.125, unit: 'MiB', digits: 3 },
  },
  book(
    'a tensor of 4 MiB and one of 1 GiB, reserved',
    '1.5_allocated.py',
    'two-tensors',
    'reserved',
    1044,
    'MiB',
    1,
  ),
  book('the same, allocated', '1.5_allocated.py', 'two-tensors', 'allocated', 1028, 'MiB', 1),
  book(
    '100 tensors of 100 x 100',
    '19_local_var.py',
    'hundred-tensors',
    'allocated',
    4044800,
    'B',
    0,
  ),
  book(
    'SGD, two micro-batches of 128',
    '10_cross_batch.py',
    'accumulate',
    'peakAllocated',
    49.00048828125,
    'MiB',
    11,
  ),
  book(
    'SGD, batches of 256',
    '11_no_accumulation.py',
    'no-accumulation',
    'peakAllocated',
    81.37548828125,
    'MiB',
    11,
  ),
  {
    ...book(
      'three linear layers, checkpointed',
      '12_pow_model_checkpoint.py',
      'checkpoint',
      'peakAllocated',
      628.63671875,
      'MiB',
      8,
    ),
    explained: KEPT_LT_WORKSPACES,
  },
  {
    ...book(
      'the same, then without checkpoints',
      '12_pow_model_checkpoint.py',
      'no-checkpoint',
      'peakAllocated',
      936.17431640625,
      'MiB',
      11,
    ),
    explained: KEPT_LT_WORKSPACES,
  },
  crossEntropy(512, 242.255),
  crossEntropy(1024, 338.259),
  crossEntropy(2048, 532.267),
  crossEntropy(4096, 920.282),
  crossEntropy(8192, 1696.313),
  crossEntropy(16384, 3248.376),
  gpt('own modules, float32', 'plain', 26.2617),
  gpt('the same, allocated afterwards', 'plain', 2.5069, { statistic: 'allocated' }),
  gpt('mask on the fly', 'mask', 26.2422),
  gpt('bfloat16, fused AdamW', 'bfloat16', 13.7871),
  gpt("PyTorch's LayerNorm and GELU", 'modules', 11.5645),
  gpt('fused attention', 'attention', 5.9004),
  {
    ...{ name: 'ViT-L/16, Adam, one image', source: TUTORIAL, torch: '2.1', card: 'a100' },
    ...{ publishedCard: 'not said', program: 'vit.py', args: ['tutorial'], isAbout: true },
    ...{ statistic: 'peakAllocated', published: 6, unit: 'GB', digits: 0 },
  },
  {
    ...{
      name: 'the same, Adam in the backward pass',
      source: TUTORIAL,
      torch: '2.1',
      card: 'a100',
    },
    ...{ publishedCard: 'not said', program: 'vit.py', args: ['tutorial-fused'], isAbout: true },
    ...{ statistic: 'peakAllocated', published: 4, unit: 'GB', digits: 1 },
  },
  vit('batch 64, float32', 'float32', 26.79),
  vit('batch 64, float16 autocast', 'float16-mixed', 18.21),
  vit('batch 64, bfloat16', 'bfloat16', 13.82),
  vit('batch 16, bfloat16', 'bfloat16-16', 5.69),
  vit('4 micro-batches of 4, bfloat16', 'bfloat16-accumulate', 3.91, UNFUSED_TEMPORARIES),
  {
    ...{ name: 'Llama-7B, AdamW without foreach, bfloat16', torch: '2024' },
    ...{ source: 'https://github.com/meta-pytorch/torchtune/pull/389', card: 'a100' },
    ...{ publishedCard: 'not said', program: 'llama.py', args: [], isAbout: true },
    ...{ statistic: 'peakAllocated', published: 54, unit: 'GB', digits: 0 },
  },
  {
    ...{ name: 'Swin V2-T, 256 px, batch 128, float16 autocast', torch: '2022' },
    ...{ source: 'https://github.com/pytorch/vision/pull/6246', card: 'a100' },
    ...{ publishedCard: 'not said', program: 'torchvision_recipes.py', args: ['swin_v2_t'] },
    ...{ statistic: 'peakAllocated', published: 14880, unit: 'MiB', digits: 0 },
    explained: "cuBLAS's workspaces (16.3 MiB) were outside PyTorch's count in 2022",
  },
  {
    ...{ name: 'FCN ResNet-50, 480 px, batch 4, float32', torch: '2021' },
    ...{ source: 'https://github.com/pytorch/vision/pull/4994', card: 'a100' },
    ...{ publishedCard: 'not said', program: 'torchvision_recipes.py', args: ['fcn_resnet50'] },
    ...{ statistic: 'peakAllocated', published: 4723, unit: 'MiB', digits: 0 },
    explained: "convolutions: cuDNN's workspaces are 0 here, so that the figure is a lower bound",
  },
  {
    ...{ name: 'attention by matrix products, float16, forward', source: `${ISSUES}/139612` },
    ...{ torch: '2.6.0a0+gitf4ee5a2', card: 'a100', publishedCard: 'not said' },
    ...{ program: 'attention.py', args: [], statistic: 'used', published: 3898.94, unit: 'MiB' },
    digits: 2,
    explained:
      "from before pull request 139613, which is about lowering it; and that card's context is not known",
  },
  {
    ...{ name: 'Swin-S, batch 48, float16 autocast', torch: '2022' },
    ...{ source: 'https://github.com/microsoft/Swin-Transformer/issues/192', card: 'a100' },
    ...{ publishedCard: 'not said', program: 'timm_step.py' },
    args: [
      ...['swin_small_patch4_window7_224', '48', 'float16', 'adamw'],
      ...['--plain-attention', '--clip', '5', '--drop-path', '0.3', '--ddp'],
    ],
    ...{ statistic: 'peakAllocated', published: 7785, unit: 'MiB', digits: 0 },
  },
  {
    ...{ name: 'DINO ViT-S/16, batch 64, 10 crops, float16 autocast', torch: '2021' },
    ...{ source: 'https://github.com/facebookresearch/dino/issues/69', card: 'a100' },
    ...{ publishedCard: 'V100', program: 'dino.py', args: ['64'], statistic: 'peakAllocated' },
    ...{ published: 13873, unit: 'MiB', digits: 0 },
  },
]
