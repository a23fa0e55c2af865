// The JSON document of a benchmark, and its rows.
import { z } from 'zod'
import type { Case } from './cases.js'
import type { Figures } from './contender.js'
import type { Rounds } from './in-turn.js'
import { highestOf, medianOf, spreadOf } from './statistics.js'

const number = z.number().nullable()

const rowSchema = z.strictObject({
  contender: z.string(),
  /** Name of the contender that `timeRatio` and `rssRatio` are set against. */
  against: z.string(),
  status: z.enum(['ok', 'skipped', 'failed']),
  /** Why it was skipped or failed. */
  reason: z.string().nullable(),
  /** Of all measured steps of all rounds. */
  stepSeconds: z.strictObject({ median: z.number(), min: z.number(), max: z.number() }).nullable(),
  /** The measured steps of each round. */
  rounds: z.array(z.array(z.number())),
  imagesPerSecond: number,
  /** Median step time over that of `against`: below 1 is faster. */
  timeRatio: number,
  /** Median over the rounds. */
  firstStepSeconds: number,
  /** Most of the rounds: choices that the first has measured are there for the next. Null where it is not said. */
  tuningSeconds: number,
  /** Highest of the rounds, of the process alone (not of a DataLoader's or a compiler's processes). */
  peakRssBytes: number,
  rssRatio: number,
  /** Highest of the rounds, by the allocator's count. */
  peakAllocatedBytes: number,
  /** Of the first and the last step of the first round: of contenders that do the same work they agree. */
  firstLoss: number,
  lastLoss: number,
  threads: number,
})

export type Row = z.infer<typeof rowSchema>

const caseSchema = z.strictObject({
  name: z.string(),
  title: z.string(),
  rows: z.array(rowSchema),
})

export const resultSchema = z.strictObject({
  schema: z.literal(1),
  startedAt: z.iso.datetime(),
  /** Of the checkout, with `+` where files differ from it; null without git. */
  commit: z.string().nullable(),
  machine: z.strictObject({
    processor: z.string(),
    /** That this process may use. */
    cores: z.number(),
    memoryBytes: z.number(),
    /** Processes that were running when the benchmark began, over the minute before. */
    load: z.number(),
  }),
  /** Of an operation, asked of every contender. */
  threads: z.number(),
  /** Processes that kept a core busy each meanwhile. */
  busyProcesses: z.number(),
  quick: z.boolean(),
  rounds: z.number(),
  versions: z.record(z.string(), z.string()),
  cases: z.array(caseSchema),
  /** What should be known before the figures are trusted, as sentences. */
  warnings: z.array(z.string()),
})

export type Result = z.infer<typeof resultSchema>

/** A case's table. `reference` takes the place of the case's own, for all of its contenders. */
export function rowsOf(
  { contenders, reference }: Case,
  results: readonly Rounds[],
  asked?: string,
): Row[] {
  const summaries = contenders.map((_, index) => summaryOf(results[index] as Rounds))
  return contenders.map(({ name, against = reference, shape }, index) => {
    const own = summaries[index] as Summary
    const named = asked ?? against
    const other = summaries[contenders.findIndex((contender) => contender.name === named)]
    const step = own.stepSeconds?.median ?? null
    return {
      ...{ contender: name, against: named, ...own },
      imagesPerSecond: step === null ? null : shape.batchSize / step,
      timeRatio: ratio(step, other?.stepSeconds?.median),
      rssRatio: ratio(own.peakRssBytes, other?.peakRssBytes),
    }
  })
}

type Summary = Omit<Row, 'contender' | 'against' | 'imagesPerSecond' | 'timeRatio' | 'rssRatio'>

function summaryOf(result: Rounds): Summary {
  const rounds: readonly Figures[] = result.status === 'ok' ? result.rounds : []
  const [first] = rounds
  return {
    status: result.status,
    reason: result.status === 'ok' ? null : result.reason,
    stepSeconds: spreadOf(rounds.flatMap(({ stepSeconds }) => stepSeconds)),
    rounds: rounds.map(({ stepSeconds }) => stepSeconds),
    firstStepSeconds: medianOf(rounds.map(({ firstStepSeconds }) => firstStepSeconds)),
    tuningSeconds: highestOf(rounds.map(({ tuningSeconds }) => tuningSeconds)),
    peakRssBytes: highestOf(rounds.map(({ peakRssBytes }) => peakRssBytes)),
    peakAllocatedBytes: highestOf(rounds.map(({ peakAllocatedBytes }) => peakAllocatedBytes)),
    firstLoss: first?.losses[0] ?? null,
    lastLoss: first?.losses.at(-1) ?? null,
    threads: first?.threads ?? null,
  }
}

function ratio(own: number | null, other: number | null | undefined): number | null {
  return own === null || other === null || other === undefined ? null : own / other
}

/** Every version that a contender told, by its name. */
export function versionsOf(results: readonly Rounds[]): Record<string, string> {
  const all = results.flatMap((result) => (result.status === 'ok' ? result.rounds : []))
  return Object.assign({}, ...all.map(({ versions }) => versions))
}

/** Sentences about contenders that used another number of threads than they were asked to. */
export function threadWarnings({ name, rows }: Result['cases'][number], threads: number): string[] {
  return rows
    .filter((row) => row.threads !== null && row.threads !== threads)
    .map((row) => `${name}: ${row.contender} used ${row.threads} threads, not ${threads}`)
}
