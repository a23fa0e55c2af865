// timm's Swin-T beside this package's on one simulated card: what a training step takes of it.
// node dist/test/bench/memory-peers.js [--json|--markdown] [CARD]: the table; asserts nothing.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { formatTable } from '../../lib/cli/table.js'
import { cardNamed } from '../../lib/simulated/cards.js'
import { ROOT, runScript } from '../../scripts/lib/script.js'
import { runWhereItFits, whyNoPython } from '../helpers/simulated-python.js'

const BATCHES = [32, 128]
const SPECS = [
  ...['backprop', 'backprop,recompute=selective', 'backprop,dtype=bfloat16'],
  ...['paper:4', 'paper:4,split=balanced,recompute=selective', 'paper:4,dtype=bfloat16'],
]
const TIMM = [
  ['float32', 'adamw'],
  ['float32', 'adamw-fused'],
  ['bfloat16', 'adamw'],
  ['bfloat16', 'adamw-fused'],
] as const

interface Result {
  readonly batch: number
  readonly what: string
  readonly status: string
  readonly peakAllocatedBytes: number | null
  readonly peakReservedBytes: number | null
  /** timm's, of a step of its that had room. */
  readonly version?: number | string | undefined
}

function ours(card: string, batch: number): Result[] {
  const main = path.join(ROOT, 'dist', 'lib', 'cli', 'main.js')
  const runs = SPECS.flatMap((spec) => ['--run', spec])
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...[main, 'compare', '--json', '--device', `sim:${card}`, '--dataset', 'synthetic'],
      ...['--batch-size', `${batch}`, '--steps', '2', ...runs],
    ],
    { encoding: 'utf8', maxBuffer: 64 * 2 ** 20 },
  )
  if (status !== 0) throw new Error(`compare: ${stderr || stdout}`)
  const { rows } = JSON.parse(stdout) as { rows: (Result & { spec: string })[] }
  return rows.map((row) => ({
    ...{ batch, what: `this package, ${row.spec}`, status: row.status },
    ...{ peakAllocatedBytes: row.peakAllocatedBytes, peakReservedBytes: row.peakReservedBytes },
  }))
}

function theirs(card: string, batch: number): Result[] {
  return TIMM.map(([dtype, optimizer]) => {
    const args = ['swin_tiny_patch4_window7_224', `${batch}`, dtype, optimizer, '--classes', '10']
    const figures = runWhereItFits(card, 'timm_step.py', args)
    return {
      ...{ batch, what: `timm, ${dtype}, ${optimizer}` },
      ...{ version: figures?.timm, status: figures === undefined ? 'out_of_memory' : 'ok' },
      peakAllocatedBytes: figures?.peakAllocated ?? null,
      peakReservedBytes: figures?.peakReserved ?? null,
    }
  })
}

const HEAD = ['batch', 'what', 'peak allocated, MiB', 'peak reserved, MiB']
const mib = (bytes: number | null) => (bytes === null ? '-' : (bytes / 2 ** 20).toFixed(1))

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
  const rows = results.map(({ batch, what, status, peakAllocatedBytes, peakReservedBytes }) => [
    ...[`${batch}`, what],
    ...(status === 'ok'
      ? [mib(peakAllocatedBytes), mib(peakReservedBytes)]
      : [status.replaceAll('_', ' '), '-']),
  ])
  const line = (all: readonly string[]) => `| ${all.join(' | ')} |`
  const markdown = () => [HEAD, ['---:', '---', '---:', '---:'], ...rows].map(line).join('\n')
  console.log(values.markdown ? markdown() : formatTable(HEAD, rows))
  const version = results.find((one) => one.version !== undefined)?.version
  const peer = version === undefined ? 'timm' : `timm ${version}`
  console.log(
    `\n${peer}. Swin-T, 224 px, 10 classes, one step with its AdamW, simulated ${card.name}`,
  )
  return 0
}

await runScript('bench:memory-peers', main)
