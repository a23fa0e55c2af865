// Configurations and cards by chance, and whether training runs there: what holds a plan to its word.
import path from 'node:path'
import { type ResolvedConfig, resolveInput } from '../../lib/config/resolve.js'
import type { DryRunRequest } from '../../lib/plan/dry-run.js'
import { plan } from '../../lib/plan/plan.js'
import { requestOf } from '../../lib/plan/request.js'
import { DIST, run } from './child.js'

export type CardTrial = Omit<DryRunRequest, 'limitBytes' | 'ema'>

export interface RandomPlan {
  readonly card: string
  readonly variant: 'micro' | 'tiny' | 'small'
  readonly imageSize: number
  readonly run: string
}

/** What chance chooses from. */
export interface Choices {
  readonly cards: readonly string[]
  readonly networks: readonly (readonly [variant: RandomPlan['variant'], imageSize: number])[]
  readonly runs: readonly string[]
}

/** The same ones for the same seed. */
export function randomPlans(seed: number, count: number, choices: Choices): RandomPlan[] {
  let state = seed
  // Park and Miller's generator: exact in doubles.
  const oneOf = <T>(all: readonly T[]): T => {
    state = (state * 48_271) % 2_147_483_647
    return all[state % all.length] as T
  }
  return Array.from({ length: count }, () => {
    const [variant, imageSize] = oneOf(choices.networks)
    return { card: oneOf(choices.cards), variant, imageSize, run: oneOf(choices.runs) }
  })
}

export interface PlanOnTrial {
  /** As the plan has it. */
  readonly possible: number
  readonly safe: number
  /** Steps that were trained of two, with the largest batch and with the next. */
  readonly trained: number
  readonly trainedNext: number
}

const CLASSES = 10
const FIRST_BATCH = 32
const MOST_MS = 300_000

/** Plans, then trains what was planned in processes that know nothing of the plan. */
export async function tryPlan(one: RandomPlan): Promise<PlanOnTrial> {
  const configOf = (batchSize: number) => {
    const { run, variant, imageSize } = one
    return resolveInput({ run, model: { variant, imageSize }, training: { batchSize } })
  }
  const { rows } = await plan(configOf(FIRST_BATCH), { gpus: [one.card], classes: CLASSES })
  const { possible, safe } = rows[0]?.largestBatch ?? { possible: 0, safe: 0 }
  const trained = possible === 0 ? 0 : await stepsOnCard(one.card, configOf(possible))
  const trainedNext = await stepsOnCard(one.card, configOf(possible + 1))
  return { possible, safe, trained, trainedNext }
}

async function stepsOnCard(card: string, config: ResolvedConfig): Promise<number> {
  const { network, run: spec, training, batchSize } = requestOf(config, CLASSES)
  const trial: CardTrial = { network, run: spec, training, batchSize }
  const child = path.join(DIST, 'test/helpers/card-trial-child.js')
  const { code, stdout, stderr } = await run([child, card, JSON.stringify(trial)], {}, MOST_MS)
  if (code !== 0) throw new Error(`${spec}, batch ${batchSize}, on ${card}: ${stderr}`)
  return Number(stdout)
}
