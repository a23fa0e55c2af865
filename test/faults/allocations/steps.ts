// The n-th allocation of a step fails. A module's step is all or nothing: afterwards everything is
// as if the step had ended before the module that failed, no byte is held, and the next step gives
// bit for bit what it gives where nothing had failed.
import * as memory from '../../../lib/device/memory.js'
import type { Tensors } from '../../../lib/local/swin-transformer.js'
import type { Tally } from '../tally.js'
import type { Case } from './cases.js'
import { differences, type Which, withFailure } from './failing.js'
import { Subject } from './subject.js'

/** Where a step begins from, and with what memory. */
export interface Path {
  /** A trainer made anew for every failure, or one whose state is put back. */
  readonly trainer: 'fresh' | 'restored'
  /** Whether blocks of the step before are there to be used again, or all is mapped afresh. */
  readonly cache: 'warm' | 'cold'
}

export const PATHS: readonly Path[] = [
  { trainer: 'restored', cache: 'warm' },
  { trainer: 'restored', cache: 'cold' },
  { trainer: 'fresh', cache: 'warm' },
  { trainer: 'fresh', cache: 'cold' },
]

/** What the first k modules leave, and what a whole step after that. */
interface Reference {
  readonly after: Tensors
  readonly next: Tensors
}

export async function failSteps(one: Case, path: Path, which: Which, tally: Tally): Promise<void> {
  const where = `${one.name} (${path.trainer}, ${path.cache})`
  const references = await referencesOf(one)
  const start = await starter(one, path)
  tally.count('steps, cases')
  for (let n = 1 + (which.offset % which.stride); ; n += which.stride) {
    const subject = await start.next()
    if (path.cache === 'cold') memory.emptyCache()
    const live = memory.allocated()
    const outcome = await withFailure(n, () => subject.step())
    if (outcome === undefined) break
    tally.count('steps, failed allocations')
    const fail = (what: string) => tally.fail(where, `allocation ${n}: ${what}`)
    if ('violation' in outcome) {
      fail(outcome.violation)
      continue
    }
    const { module, phase } = outcome.error as { module?: string; phase?: string }
    tally.count(`steps, in the ${phase || 'preparing'} phase`)
    const told = module ? ` in the ${phase} phase of ${module}` : ''
    const held = memory.allocated() - live
    if (held !== 0) fail(`${held} bytes more are live${told}`)
    // A step that fails before its first module has a module of no name.
    const { after, next } = references[
      module ? Number(module.slice('module '.length)) - 1 : 0
    ] as Reference
    const off = differences(after, await subject.values())
    if (off !== undefined) fail(`${off}${told}`)
    await subject.step()
    const later = differences(next, await subject.values())
    if (later !== undefined) fail(`${later} after the next step${told}`)
    if (memory.allocated() !== live) fail(`other bytes are live after the next step${told}`)
  }
  start.end()
}

async function referencesOf(one: Case): Promise<Reference[]> {
  const subject = await Subject.create(one)
  const base = await subject.save()
  const references: Reference[] = []
  for (let k = 0; k < subject.trainer.modules.length; k++) {
    await subject.restore(base)
    if (k > 0) await subject.step(k)
    const after = await subject.values()
    await subject.step()
    references.push({ after, next: await subject.values() })
  }
  subject.dispose()
  return references
}

/** Trainers that all stand where {@link Subject.create} leaves them. */
async function starter(one: Case, path: Path) {
  let subject = await Subject.create(one)
  const base = await subject.save()
  return {
    async next(): Promise<Subject> {
      if (path.trainer === 'restored') {
        await subject.restore(base)
      } else {
        subject.dispose()
        subject = await Subject.create(one)
      }
      return subject
    },
    end: () => subject.dispose(),
  }
}
