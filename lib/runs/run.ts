// A training run with a folder: what `localformer train` runs, as an object. It follows the training loop,
// tells every event to the loggers, keeps checkpoints and the report, and ends in a summary.
import { LocalformerError } from '../base/errors.js'
import type { TrainingConfig } from '../config/schema.js'
import type { Dataset } from '../datasets/dataset.js'
import type { SwinTransformer } from '../local/swin-transformer.js'
import type { Trainer } from '../local/trainer.js'
import { meansOf } from '../metrics/means.js'
import { ReportKeeper } from '../report/keep-report.js'
import { FollowedFolder, type RunRecord } from '../run-folder/followed-folder.js'
import type { DoneEvent, RunEvent, TrainEvent } from '../train/events.js'
import type { TrainingProgress } from '../train/training-state.js'
import type { WeightsReport } from '../weights/plan.js'
import { withAdvice } from './advise.js'
import type { OwnLoop, Recorded, SaveRunOptions } from './own-loop.js'
import { type RunSummary, summaryOf } from './run-summary.js'

/** What a run is made of; {@link createRun} and {@link resumeRun} put it together. */
export interface RunParts {
  /** Of several ranks only rank 0 writes into it. */
  readonly folder: RunRecord
  readonly config: TrainingConfig
  readonly trainer: Trainer
  readonly data: Dataset
  /** Run spec with its cuts. */
  readonly run: string
  readonly weights: WeightsReport | null
  /** Of the training loop; undefined for a loop of the script's own. */
  readonly events: AsyncGenerator<TrainEvent, void, undefined> | undefined
  readonly ownLoop: OwnLoop | undefined
  /** Ends the training loop, and what is looked for when it fails. */
  readonly signal?: AbortSignal | undefined
  /** Of a run that was over when it was opened, and is not trained further. */
  readonly summary: RunSummary | null
  /** Frees what the run made itself. */
  readonly dispose: () => void
}

/**
 * A run with its folder, made by {@link createRun} or {@link resumeRun}.
 *
 * ```ts
 * await using run = await createRun({ preset: 'quick', run: 'paper:4' }, { directory: 'runs/mine' })
 * for await (const event of run.events()) if (event.type === 'epoch') console.log(event)
 * const summary = await run.finish()
 * ```
 */
export class Run implements AsyncDisposable {
  readonly directory: string
  /** As config.json keeps it. */
  readonly config: TrainingConfig
  readonly trainer: Trainer
  readonly data: Dataset
  /** What loading `init` did; null without it. */
  readonly weights: WeightsReport | null
  /** How far the checkpoint was from which the run goes on; null: it begins. */
  readonly startedFrom: TrainingProgress | null
  readonly #parts: RunParts
  /** None where another rank writes it. */
  readonly #report: ReportKeeper | undefined
  readonly #warnings: string[]
  #told = 0
  #lastModules: RunSummary['modules'] | undefined
  #isBusy = false
  #failure: { readonly error: unknown } | undefined
  #finishing: Promise<RunSummary> | undefined
  #summary: RunSummary | null
  #isClosed = false

  /** @internal */
  constructor(parts: RunParts, warnings: string[]) {
    this.#parts = parts
    this.directory = parts.folder.directory
    this.config = parts.config
    this.trainer = parts.trainer
    this.data = parts.data
    this.weights = parts.weights
    this.startedFrom = parts.folder.state?.progress ?? null
    this.#summary = parts.summary
    this.#warnings = warnings
    const { folder, trainer, data } = parts
    if (folder instanceof FollowedFolder) return
    this.#report = new ReportKeeper(folder.directory, trainer, data, (problem) =>
      warnings.push(problem),
    )
  }

  get model(): SwinTransformer {
    return this.trainer.model
  }

  /** What it came to; null while it is not over. */
  get summary(): RunSummary | null {
    return this.#summary
  }

  /** What was told as `warning` events so far, or will be with the next one. */
  get warnings(): readonly string[] {
    return [...this.#warnings]
  }

  /**
   * Trains on as events are asked for; each is recorded, and a checkpoint kept, when it is given. A loop
   * that is left can be taken up again: the next call goes on behind the last event.
   *
   * @throws {LocalformerError} what `train` throws, `ERR_CHECKPOINT` where the folder cannot be
   *   written, `ERR_CONFIG` for a run whose loop is the script's own, `ERR_DISPOSED`; the signal's
   *   reason when it aborts, with a checkpoint kept.
   */
  async *events(): AsyncGenerator<RunEvent, void, undefined> {
    this.#checkOpen()
    if (this.#summary !== null) return
    const { events } = this.#parts
    if (events === undefined) {
      throw new LocalformerError('ERR_CONFIG', 'This run has no training loop of its own', {
        hint: 'Give `options` to createRun, or record the steps of your loop with run.record(...).',
      })
    }
    for (;;) {
      const told = [...this.#newWarnings()]
      const next = await this.#next(events)
      yield* told
      yield* this.#newWarnings()
      if (next === undefined) return
      yield next
    }
  }

  /** Trains to the next event and keeps what it says; undefined where there is none. */
  async #next(events: AsyncGenerator<TrainEvent>): Promise<TrainEvent | undefined> {
    if (this.#isBusy) {
      throw new LocalformerError(
        'ERR_BUSY',
        'Another loop is waiting for the next event of this run',
        {
          hint: 'Follow a run in one place: `run.events()`, then `run.finish()`.',
        },
      )
    }
    this.#isBusy = true
    try {
      const next = await events.next()
      if (next.done) return undefined
      await this.#keep(next.value)
      return next.value
    } catch (cause) {
      const error = await withAdvice(cause, this, this.#parts.signal)
      this.#failure = { error }
      throw error
    } finally {
      this.#isBusy = false
    }
  }

  /**
   * Runs to the end and gives what the run came to; of a run that is over that alone. A loop of the
   * script's own is ended as it stands.
   *
   * @throws as {@link events}
   */
  finish(): Promise<RunSummary> {
    this.#finishing ??= this.#finish()
    return this.#finishing
  }

  async #finish(): Promise<RunSummary> {
    if (this.#summary !== null) return this.#summary
    this.#checkOpen()
    // What ended it before ends this, too.
    if (this.#failure !== undefined) throw this.#failure.error
    const { ownLoop } = this.#parts
    if (ownLoop !== undefined) {
      await this.save()
      const done = ownLoop.done()
      this.#lastModules ??= ownLoop.means()
      await this.#keep(done)
    } else {
      for await (const _ of this.events());
    }
    return this.#summary as RunSummary | null as RunSummary
  }

  /**
   * Records what a loop of the script's own did: a step (what `trainer.step` gave), the end of an epoch,
   * an evaluation, or figures by names of the script's own. All loggers hear of it.
   *
   * ```ts
   * run.record({ step: await trainer.step(batch), images: batch.labels.length })
   * run.record({ evaluation: await evaluate(trainer, data.test) })
   * run.record({ metrics: { 'calibration/ece': 0.03 } })
   * ```
   *
   * @throws {LocalformerError} `ERR_CONFIG` for a run with a training loop, or what is none of these;
   *   `ERR_CHECKPOINT` where it cannot be written.
   */
  record(what: Recorded): void {
    const own = this.#own()
    this.#checkGoingOn()
    const event = own.record(what)
    if (event.type === 'epoch') this.#lastModules = event.modules
    this.#parts.folder.log(event)
    for (const _ of this.#newWarnings());
  }

  /**
   * Keeps a checkpoint of a loop of the script's own, as `last`, and its weights as the run's.
   *
   * @throws {LocalformerError} `ERR_CHECKPOINT`, `ERR_CONFIG`
   */
  async save(options: SaveRunOptions = {}): Promise<void> {
    const own = this.#own()
    this.#checkGoingOn()
    await this.#keep(await own.checkpoint(options))
    for (const _ of this.#newWarnings());
  }

  /** Closes the folder, which another process may then write, and frees what the run made itself. */
  async dispose(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      await this.#parts.events?.return()
      await this.#parts.folder.close()
    } finally {
      this.#parts.dispose()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  async #keep(event: TrainEvent): Promise<void> {
    const { folder, config } = this.#parts
    folder.log(event)
    if (event.type === 'epoch') this.#lastModules = event.modules
    if (event.type === 'checkpoint') {
      const isKept = await folder.saveCheckpoint(event, config.checkpointEvery)
      if (event.reason === 'failed' && isKept) {
        this.#warnings.push(
          `Step ${event.step + 1} failed; what was learned until then is kept: to go on, ` +
            `npx localformer train --resume ${this.directory}`,
        )
      }
      if (event.reason === 'epoch') await this.#report?.epochEnded(event.epoch)
    }
    if (event.type === 'done') await this.#end(event)
  }

  async #end(event: DoneEvent): Promise<void> {
    const { folder, run } = this.#parts
    // Of a run that was interrupted after its last epoch.
    const before = meansOf(folder.state?.progress.epochSums ?? [])
    const modules = this.#lastModules ?? before
    const { directory, weights } = folder
    await this.#report?.ended()
    const summary = summaryOf({ run, directory, weights, event, modules, warnings: this.#warnings })
    // Last, for it says that the run is over.
    await folder.writeSummary(summary)
    this.#summary = summary
    // Another run may go on with it now, in the same script too.
    await folder.close()
  }

  *#newWarnings(): Generator<RunEvent> {
    for (; this.#told < this.#warnings.length; this.#told++) {
      const event = { type: 'warning', message: this.#warnings[this.#told] as string } as const
      if (this.#summary === null) this.#parts.folder.log(event)
      yield event
    }
  }

  #own(): OwnLoop {
    const { ownLoop } = this.#parts
    if (ownLoop !== undefined) return ownLoop
    throw new LocalformerError('ERR_CONFIG', 'This run has a training loop, which records itself', {
      hint: 'For a loop of your own make the run without `options`: createRun({ trainer, data }).',
    })
  }

  #checkGoingOn(): void {
    this.#checkOpen()
    if (this.#summary === null) return
    throw new LocalformerError('ERR_CONFIG', `The run of ${this.directory} is over`, {
      hint: 'Begin a new one, with its weights: loadWeights(model, weights).',
    })
  }

  #checkOpen(): void {
    if (!this.#isClosed) return
    throw new LocalformerError('ERR_DISPOSED', `The run of ${this.directory} was disposed`)
  }
}
