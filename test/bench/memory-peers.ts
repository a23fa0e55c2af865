// timm's Swin-T beside this package's on one simulated card: what a training step takes and asks of it.
// node dist/test/bench/memory-peers.js [--json|--markdown] [CARD]: the table; asserts nothing.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { markdownTable } from '../../lib/cli/markdown.js'
import { formatTable } from '../../lib/cli/table.js'
import type { CompareResult } from '../../lib/measure/compare.js'
import { cardNamed } from '../../lib/simulated/cards.js'
import { ROOT, runScript } from '../../scripts/lib/script.js'
import { runWhereItFits, whyNoPython } from '../helpers/simulated-python.js'

const BATCHES = [32, 128]
/** How timm trains: PyTorch's AdamW, and timm's gradient checkpointing where it is named. */
const TIMM = {
  float32: ['float32', 'adamw'],
  'float32, fused AdamW': ['float32', 'adamw-fused'],
  'float32, checkpoints': ['float32', 'adamw', '--checkpoints'],
  bfloat16: ['bfloat16', 'adamw'],
  'bfloat16, fused AdamW': ['bfloat16', 'adamw-fused'],
  'bfloat16, checkpoints': ['bfloat16', 'adamw', '--checkpoints'],
} as const
/** This package's runs, each with the way of timm's that may do the same: what recomputes beside what does. */
const RUNS: Readonly<Record<string, keyof typeof TIMM>> = {
  backprop: 'float32',
  'backprop,recompute=selective': 'float32, checkpoints',
  'backprop,recompute=block': 'float32, checkpoints',
  'backprop,dtype=bfloat16': 'bfloat16',
  'backprop,dtype=bfloat16,recompute=block': 'bfloat16, checkpoints',
  'paper:4': 'float32',
  'paper:4,split=balanced,recompute=selective': 'float32, checkpoints',
  'paper:4,split=balanced,recompute=block': 'float32, checkpoints',
  'paper:4,dtype=bfloat16': 'bfloat16',
  'paper:4,split=balanced,dtype=bfloat16,recompute=block': 'bfloat16, checkpoints',
}

interface Result {
  readonly batch: number
  readonly what: string
  readonly status: string
  readonly peakAllocatedBytes: number | null
  readonly peakReservedBytes: number | null
  /** Kernels and matrix products of a step. */
  readonly launches: number | null
  /** How often the host waited for the card meanwhile. */
  readonly waits: number | null
  /** The row of timm's that this one is to be held against. */
  readonly against?: string
  /** timm's, of a step of its that had room. */
  readonly version?: number | string | undefined
}

function ours(card: string, batch: number): Result[] {
  const main = path.join(ROOT, 'dist', 'lib', 'cli', 'main.js')
  const runs = Object.keys(RUNS).flatMap((spec) => ['--run', spec])
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...[main, 'compare', '--json', '--device', `sim:${card}`, '--dataset', 'synthetic'],
      ...['--batch-size', `${batch}`, '--steps', '2', ...runs],
    ],
    { encoding: 'utf8', maxBuffer: 64 * 2 ** 20 },
  )
  if (status !== 0) throw new Error(`compare: ${stderr || stdout}`)
  const { rows } = JSON.parse(stdout) as CompareResult
  return rows.map((row) => ({
    ...{ batch, what: `this package, ${row.spec}`, status: row.status },
    ...{ peakAllocatedBytes: row.peakAllocatedBytes, peakReservedBytes: row.peakReservedBytes },
    launches: row.calls === null ? null : row.calls.launches + row.calls.products,
    waits: row.calls?.synchronisations ?? null,
    against: `timm, ${RUNS[row.spec]}`,
  }))
}

function theirs(card: string, batch: number): Result[] {
  return Object.entries(TIMM).map(([way, words]) => {
    const args = ['swin_tiny_patch4_window7_224', `${batch}`, ...words, '--classes', '10']
    const figures = runWhereItFits(card, 'timm_step.py', args)
    return {
      ...{ batch, what: `timm, ${way}` },
      ...{ version: figures?.timm, status: figures === undefined ? 'out_of_memory' : 'ok' },
      peakAllocatedBytes: figures?.peakAllocated ?? null,
      peakReservedBytes: figures?.peakReserved ?? null,
      launches: figures ? Number(figures.launches) + Number(figures.products) : null,
      waits: figures ? Number(figures.synchronisations) : null,
    }
  })
}

const HEAD = [
  ...['batch', 'what', 'peak allocated, MiB', 'peak reserved, MiB', 'launches and products'],
  ...['waits', 'allocated, of that', 'held against'],
]
const mib = (bytes: number | null) => (bytes === null ? '-' : (bytes / 2 ** 20).toFixed(1))

/** Of the peak that a row is held against. */
function shareOf(
  { batch, against, peakAllocatedBytes }: Result,
  results: readonly Result[],
): string {
  const peer = results.find((one) => one.batch === batch && one.what === against)
  if (!peer?.peakAllocatedBytes || peakAllocatedBytes === null) return '-'
  return (peakAllocatedBytes / peer.peakAllocatedBytes).toFixed(3)
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { json: { type: 'boolean' }, markdown: { type: 'boolean' } },
    allowPositionals: true,
  })
  const card = cardNamed(positionals[0] ?? 'h100')
  const reason = whyNoPython(['torch', 'timm'])
  if (reason !== undefined) {
    console.log(`SKIP: ${reason}`)
    return 0
  }
  const results = BATCHES.flatMap((batch) => [...theirs(card.key, batch), ...ours(card.key, batch)])
  if (values.json) {
    console.log(JSON.stringify({ card: card.name, results }, null, 2))
    return 0
  }
  const rows = results.map((one) => [
    ...[`${one.batch}`, one.what],
    ...(one.status === 'ok'
      ? [mib(one.peakAllocatedBytes), mib(one.peakReservedBytes), `${one.launches}`, `${one.waits}`]
      : [one.status.replaceAll('_', ' '), '-', '-', '-']),
    ...(one.against === undefined ? ['', ''] : [shareOf(one, results), one.against]),
  ])
  console.log(values.markdown ? markdownTable(HEAD, rows, 'rlrrrrrl') : formatTable(HEAD, rows))
  const version = results.find((one) => one.version !== undefined)?.version
  const peer = version === undefined ? 'timm' : `timm ${version}`
  console.log(
    `\n${peer}. Swin-T, 224 px, 10 classes, one step with its AdamW, simulated ${card.name}`,
  )
  return 0
}

await runScript('bench:memory-peers', main)
