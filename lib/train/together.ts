// What the ranks of a run say to each other beside tensors: that they were given the same, how far an
// epoch has come, where to stop, and what each of them took.
import { LocalformerError } from '../base/errors.js'
import { agree, exchange, inGroup, type Traffic, traffic } from '../distributed/group.js'
import type { Trainer } from '../local/trainer.js'
import type { EpochSums } from '../metrics/means.js'
import type { ResolvedTrainOptions } from './options.js'
import type { RunIdentity } from './training-state.js'

/** What a rank took of a run. */
export interface RankFigures extends Traffic {
  readonly rank: number
  /** Names of the modules that it has. */
  readonly modules: readonly string[]
  /** Between steps. */
  readonly residentBytes: number
  /** Highest of a step. */
  readonly peakAllocatedBytes: number
  /** Of this training, as waiting and bytes are; what went before it was resumed is not in it. */
  readonly seconds: number
}

/** @throws {LocalformerError} `ERR_CONFIG` where a run cannot be shared so. */
export function checkShared(trainer: Trainer, o: ResolvedTrainOptions): void {
  const { division } = trainer
  if (division === undefined) return
  const { replicas, stages } = division
  if (o.batchSize % replicas !== 0) {
    throw new LocalformerError(
      'ERR_CONFIG',
      `A batch of ${o.batchSize} images cannot be shared by ${replicas} ranks`,
      { hint: `\`batchSize\` counts the images of all ranks: choose a multiple of ${replicas}.` },
    )
  }
  if (stages > 1 && o.schedule === 'sequential') {
    throw new LocalformerError(
      'ERR_CONFIG',
      'Modules on several ranks are not trained one by one',
      {
        hint: 'Leave out `schedule` sequential, or use parallel data.',
      },
    )
  }
}

/** Before anything is trained: have all ranks the same run before them? */
export async function agreeOn(trainer: Trainer, identity: RunIdentity, step: number) {
  const { stageEnds, replicas } = trainer.division ?? {}
  await agree('run', { ...identity, parallel: { stageEnds, replicas }, step })
}

/** The sums of all modules, each from a rank that has it. */
export async function sumsOfAll(trainer: Trainer, sums: EpochSums): Promise<EpochSums> {
  const { division } = trainer
  if (division === undefined || division.stages === 1) return sums
  const { stageEnds, replicas } = division
  const all = (await exchange('sums', JSON.stringify(sums))).map(
    (text) => JSON.parse(text) as EpochSums,
  )
  return trainer.modules.flatMap((_, k) => {
    const stage = stageEnds.findIndex((end) => k < end)
    const own = all[stage * replicas]?.[k]
    return own === undefined ? [] : [own]
  })
}

/** What every rank took, by rank. */
export async function figuresOfAll(
  trainer: Trainer,
  own: Pick<RankFigures, 'residentBytes' | 'peakAllocatedBytes' | 'seconds'>,
): Promise<readonly RankFigures[] | undefined> {
  const { division } = trainer
  if (division === undefined) return undefined
  const { place } = inGroup()
  const figures: RankFigures = {
    rank: place.rank,
    modules: trainer.modules.slice(division.first, division.last).map(({ name }) => name),
    ...own,
    ...(await traffic()),
  }
  const texts = await exchange('figures', JSON.stringify(figures))
  return texts.map((text) => JSON.parse(text) as RankFigures)
}

/** A rank that was told to stop waits so long for those with the first modules to be told too. */
const PATIENCE_SECONDS = 10

/**
 * Stops a run of several ranks behind the same step on all of them: a rank that takes batches says so with
 * its next step, and the others learn of it with theirs.
 */
export class CommonStop {
  readonly #signal: AbortSignal | undefined
  readonly #trainer: Trainer
  #abortedAt: number | undefined
  #thrown: unknown
  #isCommon = false

  constructor(trainer: Trainer, signal: AbortSignal | undefined) {
    this.#trainer = trainer
    this.#signal = signal
  }

  /** Is this what ended the training on all ranks, behind the same step? */
  isOwn(error: unknown): boolean {
    return this.#isCommon && error !== undefined && error === this.#thrown
  }

  /** Does the step that comes have to tell the others? */
  get isDue(): boolean {
    return this.#signal?.aborted === true && this.#trainer.takesBatches
  }

  /** Whether a step said so. */
  learn(stops: boolean | undefined): void {
    this.#isCommon ||= stops === true
  }

  /** @throws the signal's reason where the run stops here. */
  check(): void {
    if (this.#isCommon) {
      this.#thrown = this.#reason()
      throw this.#thrown
    }
    if (!this.#signal?.aborted || this.#trainer.takesBatches) return
    this.#abortedAt ??= performance.now()
    if (performance.now() - this.#abortedAt > PATIENCE_SECONDS * 1000) throw this.#reason()
  }

  #reason(): unknown {
    if (this.#signal?.aborted) return this.#signal.reason
    return new DOMException('Another rank was told to stop', 'AbortError')
  }
}
