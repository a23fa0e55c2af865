// What is planned and measured: Swin-Tiny in every way to train that has allocations of its own.

export interface PlanCase {
  readonly run: string
  readonly imageSize: number
  readonly batchSize: number
}

const of = (imageSize: number, rows: readonly (readonly [run: string, batchSize: number])[]) =>
  rows.map(([run, batchSize]): PlanCase => ({ run, imageSize, batchSize }))

// bfloat16 at 32 pixels alone: its products take minutes on a processor that has none of its own.
export const MEMORY_CASES: readonly PlanCase[] = [
  ...of(32, [
    ['backprop,recompute=none', 8],
    ['backprop', 32],
    ['backprop,recompute=block', 64],
    ['backprop,accumulate=4', 64],
    ['backprop,dtype=bfloat16', 8],
    ['backprop,dtype=bfloat16,recompute=block', 16],
    ['paper:1', 16],
    ['paper:2', 8],
    ['paper:2,recompute=none', 32],
    ['paper:4', 64],
    ['paper:4,recompute=block', 64],
    ['paper:4,accumulate=2', 32],
    ['paper:4,dtype=bfloat16', 16],
    ['paper:4,dtype=bfloat16,recompute=block', 16],
    ['paper:2,split=balanced', 16],
    ['paper:4,split=balanced', 32],
    ['paper:8,split=balanced', 16],
    ['paper,split=blocks', 16],
    ['paper:3,split=1+3', 16],
    ['paper:4,decoder=conv', 16],
    ['paper:4,decoder=transformer', 16],
    ['paper:2,decoder=transformer,recompute=block', 16],
    ['paper:4,head=mlp', 16],
    ['paper:2,head=later-stages', 8],
    ['paper:4,sample=0.5', 32],
    ['infopro:2', 8],
    ['infopro:4,recompute=none', 16],
    ['greedy:4', 32],
    ['greedy:8,split=balanced,recompute=block', 32],
    ['trgl:4', 16],
    ['trgl:4,accumulate=4,recompute=none', 64],
  ]),
  ...of(96, [
    ['backprop', 8],
    ['backprop,recompute=block', 16],
    ['paper:4', 16],
    ['paper:4,split=balanced,recompute=block', 8],
    ['paper:2,decoder=conv', 8],
    ['paper:4,accumulate=2', 8],
    ['greedy:4', 8],
    ['infopro:2', 8],
  ]),
  ...of(224, [
    ['backprop', 8],
    ['paper:4', 8],
    ['paper:4,split=balanced,recompute=block', 8],
    ['paper:2,recompute=none,accumulate=2', 8],
  ]),
]

/** Those whose times are compared: one network and batch, as a search has them. */
export const TIMED = { imageSize: 96, batchSize: 8 } as const
export const TIMED_RUNS: readonly string[] = [
  'backprop,recompute=none',
  'backprop',
  'backprop,recompute=block',
  'backprop,recompute=block,accumulate=4',
  'paper:2',
  'paper:4',
  'paper:4,recompute=none',
  'paper:4,recompute=block',
  'paper:4,recompute=block,accumulate=4',
  'paper:4,split=balanced',
  'paper:8,split=balanced',
  'paper:8,split=balanced,recompute=block',
  'paper,split=blocks',
  'paper:4,decoder=conv',
  'paper:4,decoder=transformer',
  'paper:2,head=later-stages',
  'infopro:4',
  'greedy:4',
  'greedy:4,recompute=block',
  'trgl:4',
]
