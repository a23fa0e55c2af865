// What computes a run, beside what was asked for: versions, processor, device and threads decide how sums are
// rounded, so that a run goes on bit for bit only where they are the same.

import { packageVersion } from '../base/version.js'
import { processorModel } from '../device/products.js'
import type { Trainer } from '../local/trainer.js'
import { loadTorch } from '../native/load.js'

export type Surroundings = Readonly<Record<string, string>>

export function surroundingsOf(trainer: Trainer): Surroundings {
  const torch = loadTorch()
  const { libtorch, cpuCapability } = torch.versions()
  return {
    localformer: packageVersion(),
    ...{ libtorch, cpuCapability, processor: processorModel() },
    node: process.version,
    device: trainer.model.device,
    threads: String(torch.threads()),
  }
}

/**
 * Is it the same kind of processor and LibTorch, as far as is said? Else other backends may be the fast ones, and no
 * digit stays.
 */
export function multipliesAlike(now: Surroundings, then: Surroundings = {}): boolean {
  const names = ['libtorch', 'cpuCapability', 'processor']
  return names.every((name) => !(name in then) || now[name] === then[name])
}

/** What differs between two of them, for people, of what both say; Node.js computes nothing. */
export function differencesOf(now: Surroundings, then: Surroundings): string[] {
  return Object.keys(now)
    .filter((name) => name !== 'node' && name in then && now[name] !== then[name])
    .map((name) => `${name} was ${then[name]} and is ${now[name]}`)
}
