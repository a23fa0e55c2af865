// Means of each module's losses and accuracy over the steps of an epoch.
import type { ModuleProgress } from './events.js'
import { type EpochSums, meansOf } from './training-state.js'

export class Means {
  #count: number
  #sums: EpochSums['sums']

  constructor({ count, sums }: EpochSums = { count: 0, sums: [] }) {
    this.#count = count
    this.#sums = sums
  }

  sums(): EpochSums {
    return { count: this.#count, sums: this.#sums }
  }

  add(modules: readonly ModuleProgress[]): void {
    this.#count++
    this.#sums = modules.map((module, k) => ({
      labelLoss: (this.#sums[k]?.labelLoss ?? 0) + module.labelLoss,
      reconstructionLoss:
        (this.#sums[k]?.reconstructionLoss ?? 0) + (module.reconstructionLoss ?? 0),
      accuracy: (this.#sums[k]?.accuracy ?? 0) + module.accuracy,
    }))
  }

  take(): EpochSums['sums'] {
    return meansOf(this.sums())
  }
}
