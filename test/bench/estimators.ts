// What estimators say of one training step of timm's Swin-T, beside that step on a simulated card; and what this
// package's planner says of its own Swin-T there, which is another network and no estimate of timm's.
// node dist/test/bench/estimators.js: a Markdown table; an estimator that is not there is a row that says so.

import { markdownTable } from '../../lib/cli/markdown.js'
import { plan } from '../../lib/plan/plan.js'
import { cardNamed } from '../../lib/simulated/cards.js'
import { runScript } from '../../scripts/lib/script.js'
import { runOnCard, runWhereItFits, whyNoPython } from '../helpers/simulated-python.js'
import { madeOn } from './plan/table.js'

const BATCHES = [32, 128]
const CARDS = ['h100', 'rtx3060']
const MODEL = 'swin_tiny_patch4_window7_224'
const CLASSES = 10
const ESTIMATORS = ['kitsune', 'accelerate', 'memtracker'] as const
/** How each is asked, for the table. */
const ASKED: Readonly<Record<(typeof ESTIMATORS)[number], string>> = {
  kitsune: '`predict_memory`',
  accelerate: '`estimate_training_usage` (weights x 4)',
  memtracker: '`MemTracker` under `FakeTensorMode`',
}
const MIB = 2 ** 20

interface Row {
  readonly what: string
  readonly batch: number
  /** Undefined: `missing` says why. */
  readonly bytes?: number
  /** Of these, cuBLAS's workspaces. */
  readonly workspaces?: number
  readonly missing?: string
  /** By card: does it train there, by this figure? */
  readonly fits: readonly (boolean | null)[]
}

/** Of a figure that knows nothing of a card: it is held against what the context leaves. */
function fitsOn(card: string, bytes: number): boolean {
  const { totalBytes, contextBytes } = cardNamed(card)
  return bytes <= totalBytes - contextBytes
}

function timmRow(batch: number): Row {
  const args = [MODEL, `${batch}`, 'float32', 'adamw', '--classes', `${CLASSES}`]
  const found = CARDS.map((card) => runWhereItFits(card, 'timm_step.py', args))
  const first = found[0]
  if (first === undefined) throw new Error(`timm does not train on ${CARDS[0]}`)
  const fits = found.map((figures) => figures !== undefined)
  const what = `timm ${first.timm}, trained on the simulated ${CARDS[0]}`
  return { what, batch, bytes: first.peakAllocated, workspaces: Number(first.workspaces), fits }
}

async function ownRow(batch: number): Promise<Row> {
  const { rows } = await plan(
    {
      run: 'backprop,recompute=none',
      model: { imageSize: 224, dropPath: 0 },
      training: { batchSize: batch },
    },
    { gpus: CARDS, classes: CLASSES, largestBatch: false },
  )
  const [first] = rows
  if (!first?.peakAllocatedBytes || !first.resident) {
    throw new Error(`this package's Swin-T does not train on ${CARDS[0]}`)
  }
  return {
    ...{ what: "no estimate: this package's own Swin-T, planned there", batch },
    ...{ bytes: first.peakAllocatedBytes, workspaces: first.resident.workspaces },
    fits: rows.map(({ verdict }) => verdict !== 'does not fit'),
  }
}

function estimatorRow(name: (typeof ESTIMATORS)[number], batch: number): Row {
  const nothing = { batch, fits: CARDS.map(() => null) }
  try {
    const { bytes, version } = runOnCard('h100', 'estimators.py', [
      name,
      `${batch}`,
    ]) as unknown as {
      bytes: number
      version: string
    }
    const fits = CARDS.map((card) => fitsOn(card, bytes))
    return { what: `${version}, ${ASKED[name]}`, batch, bytes, fits }
  } catch (error) {
    const reason = String(error).trim().split('\n').at(-1) ?? ''
    return { ...nothing, what: `${name}, ${ASKED[name]}`, missing: reason }
  }
}

async function main(): Promise<number> {
  const reason = whyNoPython(['torch', 'timm'])
  if (reason !== undefined) {
    console.log(`SKIP: ${reason}`)
    return 0
  }
  const cells: string[][] = []
  const held = new Set<string>()
  for (const batch of BATCHES) {
    const truth = timmRow(batch)
    const rows = [truth]
    for (const name of ESTIMATORS) {
      process.stderr.write(`${name}, batch ${batch}\n`)
      rows.push(estimatorRow(name, batch))
    }
    rows.push(await ownRow(batch))
    for (const { workspaces } of rows) if (workspaces !== undefined) held.add(mib(workspaces))
    for (const { what, bytes, workspaces, missing, fits } of rows) {
      const own = bytes === undefined ? undefined : bytes - (workspaces ?? 0)
      cells.push([
        ...[`${batch}`, what, bytes === undefined ? `not run: ${missing}` : mib(bytes)],
        errorOf(bytes, truth.bytes),
        errorOf(own, (truth.bytes ?? 0) - (truth.workspaces ?? 0)),
        ...fits.map((one) => (one === null ? '' : one ? 'fits' : 'does not')),
      ])
    }
  }
  const head = [
    ...['batch', 'what', 'peak, MiB', 'beside timm', 'without workspaces'],
    ...CARDS.map((card) => `on ${card}`),
  ]
  console.log(markdownTable(head, cells, 'rlrrrll'))
  console.log(
    [
      `\nSwin-T, 224 px, ${CLASSES} classes, no drop path, float32, AdamW. Made on ${madeOn()}.`,
      `Of both networks' peaks cuBLAS's workspaces are ${[...held].join(' or ')} MiB, which no`,
      'estimator counts; `without workspaces` is the error beside what is left.',
    ].join(' '),
  )
  return 0
}

function errorOf(bytes: number | undefined, truth: number | undefined): string {
  return bytes === undefined || truth === undefined || bytes === truth
    ? ''
    : percent(bytes / truth - 1)
}

const mib = (bytes: number) => (bytes / MIB).toFixed(1)
const percent = (share: number) => `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %`

await runScript('bench:estimators', main)
