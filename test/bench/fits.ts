// What fits where: the largest batch of every Swin on six cards, by `plan`, and of timm's on the same ones.
// node dist/test/bench/fits.js [--card NAME]... [tiny@224 ...]: a Markdown table for each network; asserts nothing.
import { parseArgs } from 'node:util'
import { expected, LocalformerError } from '../../lib/base/errors.js'
import { markdownTable } from '../../lib/cli/markdown.js'
import { resolveInput } from '../../lib/config/resolve.js'
import { DryRunner } from '../../lib/plan/dry-runner.js'
import { largestBatch } from '../../lib/plan/largest-batch.js'
import { mostImagesOf, requestOf } from '../../lib/plan/request.js'
import { gpuTarget, limitsOf, type PlanTarget, roomOf } from '../../lib/plan/target.js'
import { cardNamed } from '../../lib/simulated/cards.js'
import { runScript } from '../../scripts/lib/script.js'
import { runOnCard, whyNoPython } from '../helpers/simulated-python.js'
import { madeOn } from './plan/table.js'

const CARDS = ['rtx3060', 'rtx4060ti-16gb', 'rtx4090', 'a100-40gb', 'l4', 'h100']

// The other windows of Swin's authors: 7 at 224 pixels, 12 at 384.
const SIZES = [
  [224, 7],
  [384, 12],
] as const
const VARIANTS = ['tiny', 'base', 'small', 'large'] as const
const CLASSES = 1000

const RUNS = [
  'backprop,recompute=none',
  'backprop,recompute=selective',
  'backprop,recompute=block',
  'backprop,dtype=bfloat16,recompute=none',
  'backprop,dtype=bfloat16,recompute=selective',
  'backprop,dtype=bfloat16,recompute=block',
  'paper:4,split=balanced,recompute=none',
  'paper:4,split=balanced,recompute=selective',
  'paper:4,split=balanced,recompute=block',
  'paper:4,split=balanced,dtype=bfloat16,recompute=none',
  'paper:4,split=balanced,dtype=bfloat16,recompute=selective',
  'paper:4,split=balanced,dtype=bfloat16,recompute=block',
]
/** How timm trains, as timm_largest.py is asked. */
const TIMM = [
  ['float32'],
  ['float32', 'checkpoints'],
  ['bfloat16'],
  ['bfloat16', 'checkpoints'],
] as const

/** Of a first try; a search goes on from there. */
const FIRST_BATCH = 32
/** So much of a batch may be missing: a batch that is named fits, one that is larger by this does not. */
const TOLERANCE = 0.01
/** Cards that are planned for side by side. */
const PROCESSES = 2

interface Network {
  readonly variant: (typeof VARIANTS)[number]
  readonly imageSize: number
  readonly windowSize: number
}

const NETWORKS = SIZES.flatMap(([imageSize, windowSize]) =>
  VARIANTS.map((variant): Network => ({ variant, imageSize, windowSize })),
)
const nameOf = ({ variant, imageSize }: Network) => `${variant}@${imageSize}`

/** A batch for each run on one card, and bytes that are safe there. */
async function ours(target: PlanTarget, network: Network) {
  await using runner = await DryRunner.start(target)
  const { safe } = limitsOf(roomOf(target, runner))
  const most = mostImagesOf(network.imageSize)
  const batches: number[] = []
  let first = FIRST_BATCH
  for (const run of RUNS) {
    const config = resolveInput({ run, model: network })
    const attempt = async (batchSize: number) => {
      const request = { ...requestOf(config, CLASSES), batchSize, limitBytes: safe }
      const result = await runner.run(request)
      if (result.status !== 'ok') return null
      const { peakAllocatedBytes: allocatedBytes, peakReservedBytes: reservedBytes } = result
      return { allocatedBytes, reservedBytes }
    }
    const batch = await largestBatch(attempt, {
      ...{ limit: safe, most, tolerance: TOLERANCE },
      known: [{ batchSize: first, taken: await attempt(first) }],
    })
    batches.push(batch)
    // The next run begins where this one ended.
    first = batch || first
  }
  return { batches, safe }
}

/** For each way of timm's in a process of its own: one that takes too long has no batch, and the others have. */
function theirs(card: string, safe: number, { variant, imageSize, windowSize }: Network) {
  const sizes = [imageSize, windowSize, CLASSES, safe].map(String)
  return TIMM.map((way) => {
    try {
      return runOnCard(card, 'timm_largest.py', [variant, ...sizes, ...way])
    } catch (error) {
      process.stderr.write(`timm, ${way.join(', ')}, on ${card}: ${error}\n`)
      return undefined
    }
  })
}

async function tableOf(
  network: Network,
  cards: readonly string[],
  hasTimm: boolean,
): Promise<string> {
  const found = new Map<string, Awaited<ReturnType<typeof ours>>>()
  const waiting = [...cards]
  const work = async () => {
    for (let card = waiting.shift(); card !== undefined; card = waiting.shift()) {
      found.set(card, await ours(gpuTarget(card), network))
      process.stderr.write(`${nameOf(network)} on ${card}\n`)
    }
  }
  await Promise.all(Array.from({ length: PROCESSES }, work))
  const columns = cards.map((card) => found.get(card))
  const most = mostImagesOf(network.imageSize)
  // What is within the tolerance of what can be tried is no border.
  const told = (batch: number) =>
    batch * (1 + TOLERANCE) >= most ? `at least ${batch}` : `${batch}`
  const rows = RUNS.map((run, k) => [
    `\`${run}\``,
    ...columns.map((own) => told(own?.batches[k] ?? Number.NaN)),
  ])
  if (hasTimm) {
    const timm = cards.map((card) => {
      process.stderr.write(`timm's ${nameOf(network)} on ${card}\n`)
      return theirs(card, found.get(card)?.safe ?? 0, network)
    })
    const version = timm.flat().find((one) => one !== undefined)?.timm
    const peer = version === undefined ? 'timm' : `timm ${version}`
    TIMM.forEach((way, k) => {
      const batches = timm.map((ways) => `${ways[k]?.batch ?? 'not run'}`)
      rows.push([`${peer}, ${way.join(', ')}`, ...batches])
    })
  }
  const heads = cards.map((card) => {
    const { key, totalBytes } = cardNamed(card)
    return `${key} (${(totalBytes / 2 ** 30).toFixed(1)} GiB)`
  })
  return markdownTable(['', ...heads], rows, `l${'r'.repeat(cards.length)}`)
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { card: { type: 'string', multiple: true, default: CARDS } },
    allowPositionals: true,
  })
  const cards = values.card.map((name) => cardNamed(name).key)
  const names = NETWORKS.map(nameOf)
  const unknown = positionals.find((name) => !names.includes(name))
  if (unknown !== undefined) {
    const wanted = expected(`one of ${names.join(', ')}`, 'NETWORK', unknown)
    throw new LocalformerError('ERR_USAGE', wanted)
  }
  const reason = whyNoPython(['torch', 'timm'])
  if (reason !== undefined) process.stderr.write(`Without timm: ${reason}\n`)
  for (const network of NETWORKS) {
    if (positionals.length > 0 && !positionals.includes(nameOf(network))) continue
    const { variant, imageSize, windowSize } = network
    const table = await tableOf(network, cards, reason === undefined)
    console.log(`Swin ${variant} at ${imageSize} px, window ${windowSize}:\n\n${table}\n`)
  }
  console.log(
    `Largest batch that fits, to ${TOLERANCE * 100} %, ${CLASSES} classes. Made on ${madeOn()}.`,
  )
  return 0
}

await runScript('bench:fits', main)
