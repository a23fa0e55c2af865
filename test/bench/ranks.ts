// Several processes against one: throughput, memory and bytes sent, measured and as `planRanks` says.
// node dist/test/bench/ranks.js [--variant tiny] [--batch-size 16] [--steps 8] [--rounds 3]
// [--ranks 2,4] [--link 1gbit]: a Markdown table; asserts nothing. With --link ranks are in two network
// namespaces.
import { parseArgs } from 'node:util'
import { median } from '../../lib/base/median.js'
import { markdownTable } from '../../lib/cli/markdown.js'
import { setThreads } from '../../lib/device/threads.js'
import { PARALLEL, type Parallel } from '../../lib/local/parallel.js'
import { parseRunSpec } from '../../lib/local/run-spec.js'
import { SwinTransformer, type Variant } from '../../lib/local/swin-transformer.js'
import { createTrainer } from '../../lib/local/trainer-of-spec.js'
import { planRanks, type RankRow } from '../../lib/plan/ranks.js'
import { runScript } from '../../scripts/lib/script.js'
import { fixture } from '../helpers/child.js'
import { Namespaces } from '../helpers/namespaces.js'
import { type RankJob, type RankReport, reportsOf, startRanks } from '../helpers/ranks.js'
import { type ComputeShares, ComputeTrace } from './compute-trace.js'
import { madeOn } from './plan/table.js'

/** Steps that fill caches and the way from rank to rank. */
const WARM_UP = 2

interface Case {
  readonly name: string
  readonly ranks: number
  readonly job: RankJob
  /** Undefined: processes that know nothing of each other. */
  readonly parallel?: Parallel
  /** Of each process; undefined: one. */
  readonly threads?: number
}

interface Measured {
  readonly imagesPerSecond: number
  readonly reports: readonly RankReport[]
  readonly shares: ComputeShares | null
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      variant: { type: 'string', default: 'tiny' },
      'batch-size': { type: 'string', default: '16' },
      steps: { type: 'string', default: '8' },
      rounds: { type: 'string', default: '3' },
      run: { type: 'string', default: 'paper:4,split=timed,recompute=selective' },
      ranks: { type: 'string', default: '2' },
      link: { type: 'string' },
    },
  })
  const [batchSize, steps, rounds] = [values['batch-size'], values.steps, values.rounds].map(Number)
  const run = await withCuts(values.run, values.variant as Variant)
  const job = jobOf(
    { variant: values.variant, run },
    { batchSize: batchSize as number, steps: steps as number },
  )
  const counts = values.ranks.split(',').map(Number)
  const cases = casesOf(job, counts)
  using spaces = values.link === undefined ? undefined : new Namespaces(values.link)
  const found = new Map<string, Measured[]>()
  for (let round = 1; round <= (rounds as number); round++) {
    for (const one of cases) {
      process.stderr.write(`round ${round}: ${one.name}\n`)
      found.set(one.name, [...(found.get(one.name) ?? []), await measure(one, spaces)])
    }
  }
  const planned = await planRanks(
    {
      run: job.run,
      dataset: { name: 'synthetic' },
      model: { variant: values.variant as Variant, imageSize: IMAGE_SIZE, dropPath: 0 },
      optimizer: { labelSmoothing: 0 },
      training: { batchSize: batchSize as number },
    },
    { ranks: [1, ...counts], threads: 1, link: linkOf(values.link) },
  )
  console.log(tableOf(cases, found, planned))
  console.log(
    `\n${values.variant} at ${IMAGE_SIZE} px, \`${run}\`, batch ${batchSize}. Made on ${madeOn()}.`,
  )
}

const IMAGE_SIZE = 224
const NETWORK = { imageSize: IMAGE_SIZE, classes: 10, device: 'cpu' } as const
/** Of two processes of one machine: about what a loopback has. */
const LOOPBACK = '20Gbit/s'

const linkOf = (link: string | undefined) =>
  link === undefined ? LOOPBACK : link.replace(/([kmg])bit$/, (_, unit) => `${unit}bit/s`)

/** The run with cuts written out: where they go by time they are made once, for all that is compared. */
async function withCuts(run: string, variant: Variant): Promise<string> {
  setThreads(1)
  await using model = await SwinTransformer.create({ ...NETWORK, variant })
  await using trainer = await createTrainer(model, parseRunSpec(run))
  return trainer.spec
}

function jobOf(
  { variant, run }: { readonly variant: string; readonly run: string },
  { batchSize, steps }: { readonly batchSize: number; readonly steps: number },
): RankJob {
  return {
    run,
    network: { ...NETWORK, variant: variant as Variant },
    images: batchSize * (steps + WARM_UP),
    training: { batchSize, epochs: 1, testLimit: 0, cropPadding: 0, flip: false },
  }
}

function casesOf(job: RankJob, counts: readonly number[]): Case[] {
  const shared = (parallel: Parallel, ranks: number): Case => ({
    ...{ name: `${parallel}, ${ranks} ranks`, ranks, parallel },
    job: { ...job, parallel: { parallel } },
  })
  return [
    { name: ONE, ranks: 1, job },
    // The rival: one process with the cores that the ranks have.
    ...counts.map((threads) => ({ name: withThreads(threads), ranks: 1, job, threads })),
    { name: 'two apart', ranks: 2, job },
    ...PARALLEL.toReversed().flatMap((parallel) => counts.map((ranks) => shared(parallel, ranks))),
  ]
}

const ONE = 'one process'
const withThreads = (threads: number) => `${ONE}, ${threads} threads`

const percent = (share = Number.NaN) => `${Math.round(100 * share)} %`

async function measure(
  { ranks, job, parallel, threads = 1 }: Case,
  spaces?: Namespaces,
): Promise<Measured> {
  const isApart = parallel === undefined
  const environment = isApart
    ? { RANK: undefined, WORLD_SIZE: undefined }
    : (spaces?.environment ?? {})
  const { children, stepping, ended } = await startRanks(
    ranks,
    () => [fixture('rank'), JSON.stringify(job)],
    () => ({ ...environment, OMP_NUM_THREADS: `${threads}` }),
    isApart ? undefined : spaces?.prefix,
  )
  await stepping
  const trace = new ComputeTrace(children.map(({ pid = 0 }) => pid))
  // The first that has done its last step ends what both can do at once.
  await Promise.race(ended)
  const shares = trace.stop()
  const reports = reportsOf(await Promise.all(ended))
  const rates = reports.map(({ stepsAt }) => {
    const [begin = 0, end = 0] = [stepsAt[WARM_UP], stepsAt[stepsAt.length - 1]]
    const images = (stepsAt.length - 1 - WARM_UP) * (job.training.batchSize ?? 0)
    return (1000 * images) / (end - begin)
  })
  const imagesPerSecond = isApart ? rates.reduce((sum, rate) => sum + rate, 0) : Math.min(...rates)
  return { imagesPerSecond, reports, shares }
}

function tableOf(
  cases: readonly Case[],
  found: ReadonlyMap<string, readonly Measured[]>,
  planned: readonly RankRow[],
): string {
  const rateOf = (name: string) =>
    median((found.get(name) ?? []).map(({ imagesPerSecond }) => imagesPerSecond))
  const alone = rateOf(ONE)
  const rows = cases.map(({ name, ranks, parallel }) => {
    const plan = planned.find((row) => row.parallel === parallel && row.ranks === ranks)
    const one = planned.find((row) => row.ranks === 1) as RankRow
    const last = found.get(name)?.at(-1)
    const figures = last?.reports[0]?.ranks ?? []
    const mib = (bytes: readonly number[]) =>
      bytes.map((value) => Math.round(value / 2 ** 20)).join(' / ')
    const own = plan ?? (name === ONE ? one : undefined)
    const steps = last?.reports[0]?.steps.length ?? 1
    return [
      name,
      rateOf(name).toFixed(2),
      `${(rateOf(name) / alone).toFixed(2)}x`,
      plan === undefined ? '' : `${plan.speedup.toFixed(2)}x`,
      parallel === undefined ? '' : `${(rateOf(name) / rateOf(withThreads(ranks))).toFixed(2)}x`,
      (rateOf(name) / rateOf('two apart')).toFixed(2),
      // A plan knows nothing of what processes of one machine take from each other.
      plan === undefined ? '' : (plan.speedup / ranks).toFixed(2),
      mib(figures.map(({ residentBytes }) => residentBytes)),
      own === undefined ? '' : mib(own.perRank.map(({ residentBytes }) => residentBytes)),
      mib(figures.map(({ peakAllocatedBytes }) => peakAllocatedBytes)),
      own === undefined ? '' : mib(own.perRank.map(({ peakAllocatedBytes }) => peakAllocatedBytes)),
      figures.map(({ waitSeconds, seconds }) => percent(waitSeconds / seconds)).join(' / '),
      ranks === 1 ? '' : percent(last?.shares?.all),
      ranks === 1 ? '' : mib((last?.reports ?? []).map(({ sentBytes }) => sentBytes / steps)),
      plan === undefined ? '' : mib(plan.perRank.map(({ sentBytes }) => sentBytes)),
    ]
  })
  return markdownTable(
    [
      ...['', 'images/s', 'against one', 'planned', 'against as many threads'],
      ...['against two apart', 'planned'],
      ...['resident, MiB', 'planned', 'peak, MiB', 'planned'],
      ...['waited', 'all compute', 'sent, MiB/step', 'planned'],
    ],
    rows,
    `l${'r'.repeat(14)}`,
  )
}

await runScript('bench:ranks', async () => {
  await main()
  return 0
})
