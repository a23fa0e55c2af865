// Keeps report.html up to date while a run goes on, as long as that costs next to nothing. A report
// that cannot be written is told and never stops a run.
import type { Dataset } from '../datasets/dataset.js'
import type { Trainer } from '../local/trainer.js'
import { saveReconstructions } from './save-reconstructions.js'
import { writeReport } from './write-report.js'

/** Writing a report may take this share of a run's time. */
const SHARE = 0.01

export class ReportKeeper {
  readonly #directory: string
  readonly #trainer: Trainer
  readonly #data: Dataset
  readonly #onProblem: (problem: string) => void
  #epoch = 0
  #shownEpoch = 0
  #took = 0
  #writtenAt = Number.NEGATIVE_INFINITY

  constructor(
    directory: string,
    trainer: Trainer,
    data: Dataset,
    onProblem: (problem: string) => void,
  ) {
    this.#directory = directory
    this.#trainer = trainer
    this.#data = data
    this.#onProblem = onProblem
  }

  /** At an epoch's end, between two steps: changes nothing that is learned. */
  async epochEnded(epoch: number): Promise<void> {
    this.#epoch = epoch
    const startedAt = performance.now()
    if (startedAt - this.#writtenAt < this.#took / SHARE) return
    await this.#write()
    this.#writtenAt = performance.now()
    this.#took = this.#writtenAt - startedAt
  }

  /** When every file of the run is written. */
  async ended(): Promise<void> {
    await this.#write()
  }

  async #write(): Promise<void> {
    try {
      if (this.#epoch > this.#shownEpoch) {
        await saveReconstructions(this.#directory, this.#trainer, this.#data, this.#epoch)
        this.#shownEpoch = this.#epoch
      }
      await writeReport(this.#directory)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#onProblem(`The report could not be written: ${reason}`)
    }
  }
}
