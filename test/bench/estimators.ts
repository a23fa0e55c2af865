// What other estimators say of one training step, beside this package's planner and timm on a simulated card.
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
  return { what, batch, bytes: first.peakAllocated, fits }
}

async function ownRow(batch: number): Promise<Row> {
  const { rows } = await plan(
    {
      run: 'backprop,recompute=none',
      model: { imageSize: 224 },
      training: { batchSize: batch },
    },
    { gpus: CARDS, classes: CLASSES, largestBatch: false },
  )
  const bytes = rows[0]?.peakAllocatedBytes ?? undefined
  return {
    ...{ what: 'this planner, of its own Swin-T', batch },
    ...(bytes === undefined ? {} : { bytes }),
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
  for (const batch of BATCHES) {
    const truth = timmRow(batch)
    const rows = [truth, await ownRow(batch)]
    for (const name of ESTIMATORS) {
      process.stderr.write(`${name}, batch ${batch}\n`)
      rows.push(estimatorRow(name, batch))
    }
    for (const { what, bytes, missing, fits } of rows) {
      const error = (bytes ?? 0) / (truth.bytes ?? 1) - 1
      cells.push([
        ...[`${batch}`, what, bytes === undefined ? `not run: ${missing}` : mib(bytes)],
        bytes === undefined || bytes === truth.bytes ? '' : percent(error),
        ...fits.map((one) => (one === null ? '' : one ? 'fits' : 'does not')),
      ])
    }
  }
  const head = ['batch', 'what', 'peak, MiB', 'beside timm', ...CARDS.map((card) => `on ${card}`)]
  console.log(markdownTable(head, cells, 'rlrrll'))
  console.log(`\nSwin-T, 224 px, ${CLASSES} classes, float32, AdamW. Made on ${madeOn()}.`)
  return 0
}

const mib = (bytes: number) => (bytes / MIB).toFixed(1)
const percent = (share: number) => `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %`

await runScript('bench:estimators', main)
