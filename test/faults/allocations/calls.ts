// The n-th allocation of every other call fails: it is told, nothing is held, nothing has changed,
// and the same call gives then what it gives where nothing had failed.
import { createHash } from 'node:crypto'
import * as memory from '../../../lib/device/memory.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import type { ModuleTrainer } from '../../../lib/local/module-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import { SwinTransformer, type Tensors } from '../../../lib/local/swin-transformer.js'
import type { TrainerState } from '../../../lib/local/trainer.js'
import type { Tally } from '../tally.js'
import { type Case, NETWORK } from './cases.js'
import { differences, type Which, withFailure } from './failing.js'
import { type Saved, Subject } from './subject.js'

const ONE: Case = {
  name: 'calls',
  method: 'local',
  options: { method: 'infopro', modules: 2 },
  averages: true,
}

const OFFLOADED: Case = {
  ...ONE,
  name: 'calls, offload=modules',
  options: { ...ONE.options, offload: 'modules' },
}

const batch = Subject.batch(ONE)
const bytes = Subject.batch({ ...ONE, batch: 'augmented bytes' })

/** What a call works on: the subject as it was saved. */
interface At {
  readonly subject: Subject
  readonly model: SwinTransformer
  readonly trainer: Subject['trainer']
  readonly options: LocalOptions
  readonly first: ModuleTrainer
  readonly saved: Saved
}

interface Call {
  /** What comes before it, every time. */
  readonly before?: (at: At) => Promise<unknown>
  /** Gives what can be compared; what it makes it disposes. */
  readonly call: (at: At) => Promise<unknown>
}

const CALLS: Readonly<Record<string, Call>> = {
  'SwinTransformer.create': {
    call: async () => {
      await using model = await SwinTransformer.create(NETWORK)
      return model.readParameters()
    },
  },
  'LocalTrainer.create': {
    call: async ({ model, options }) => {
      await using trainer = await LocalTrainer.create(model, options)
      return trainer.readAuxiliary()
    },
  },
  'model.readParameters': { call: ({ model }) => model.readParameters() },
  'model.writeParameters': {
    call: ({ model, saved }) => model.writeParameters(halved(saved.network)),
  },
  'model.predict': { call: ({ model }) => model.predict(batch) },
  'model.gradients': { call: ({ model }) => model.gradients(batch) },
  'model.measureUnits': { call: ({ model }) => model.measureUnits(2, { recompute: 'block' }) },
  'trainer.readAuxiliary': { call: ({ trainer }) => trainer.readAuxiliary() },
  'trainer.writeAuxiliary': {
    call: ({ trainer, saved }) => trainer.writeAuxiliary(halved(saved.auxiliary)),
  },
  'trainer.evaluate': { call: ({ trainer }) => trainer.evaluate(batch) },
  'trainer.predict': { call: ({ trainer }) => trainer.predict({ images: bytes.images }) },
  'trainer.reconstruct': { call: ({ trainer }) => trainer.reconstruct(batch) },
  'trainer.readState': { call: ({ trainer }) => trainer.readState() },
  'trainer.writeState': {
    call: ({ trainer, saved: { state } }) =>
      trainer.writeState({ ...state, tensors: halved(state.tensors) }),
  },
  'trainer.writeState, another optimizer': {
    before: ({ trainer, saved }) => trainer.writeState(without(1, saved.state)),
    call: ({ trainer, saved }) => trainer.writeState(without(0, saved.state)),
  },
  'trainer.keepAverage': { call: ({ trainer }) => trainer.keepAverage(0.5) },
  'trainer.keepAverage, none before': {
    before: ({ trainer }) => trainer.keepAverage(),
    call: ({ trainer }) => trainer.keepAverage(0.5),
  },
  'trainer.readAverage': { call: ({ trainer }) => trainer.readAverage() },
  'trainer.prepare': {
    call: async ({ trainer }) => {
      using prepared = await trainer.prepare(bytes)
      return prepared.read()
    },
  },
  'trainer.step, frozen module': {
    before: async ({ first }) => first.freeze(),
    call: ({ subject }) => subject.step(1),
  },
  'module.forward': {
    call: async ({ trainer, first }) => {
      using features = await trainer.features(batch)
      using output = await first.forward(features)
      return output.shape
    },
  },
  'module.step': {
    call: async ({ trainer, first }) => {
      using features = await trainer.features(batch)
      const { features: output, labelLoss } = await first.step(features, batch.labels ?? [], {
        image: features,
      })
      output.dispose()
      return labelLoss
    },
  },
  'module.step, its optimizer released': {
    before: ({ first }) => first.releaseOptimizer(),
    call: ({ subject }) => subject.step(1),
  },
}

export async function failCalls(which: Which, tally: Tally): Promise<void> {
  for (const one of [ONE, OFFLOADED]) await failCallsOf(one, which, tally)
}

async function failCallsOf(one: Case, which: Which, tally: Tally): Promise<void> {
  for (const [name, { before, call }] of Object.entries(CALLS)) {
    const subject = await Subject.create(one)
    const saved = await subject.save()
    const { model, trainer } = subject
    const first = trainer.modules[0] as ModuleTrainer
    const at: At = { subject, model, trainer, options: one.options, first, saved }
    const begin = async () => {
      await subject.restore(saved)
      await before?.(at)
    }
    await begin()
    const start = await subject.values()
    const wanted = digest([await call(at), await subject.values()])
    tally.count('calls')
    for (let n = 1 + (which.offset % which.stride); ; n += which.stride) {
      await begin()
      const live = memory.allocated()
      const outcome = await withFailure(n, () => call(at))
      if (outcome === undefined) break
      tally.count('calls, failed allocations')
      const fail = (what: string) => tally.fail(`${one.name}: ${name}`, `allocation ${n}: ${what}`)
      if ('violation' in outcome) fail(outcome.violation)
      const held = memory.allocated() - live
      if (held !== 0) fail(`${held} bytes more are live`)
      const off = differences(start, await subject.values())
      if (off !== undefined) fail(off)
      if (digest([await call(at), await subject.values()]) !== wanted) {
        fail('it gives something else afterwards')
      }
    }
    subject.dispose()
  }
}

/** The same tensors of other values. */
function halved(tensors: Tensors): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => [
      name,
      { shape, data: data.map((value) => value / 2) },
    ]),
  )
}

/** A state in which one module has no optimizer. */
function without(module: number, state: TrainerState): TrainerState {
  const others = Object.entries(state.tensors).filter(
    ([name]) => !name.startsWith(`optimizer.${module}.`),
  )
  return { ...state, tensors: Object.fromEntries(others) }
}

/** Of numbers and arrays in any nesting. */
function digest(value: unknown): string {
  const hash = createHash('sha256')
  const add = (at: unknown): void => {
    if (ArrayBuffer.isView(at)) {
      hash.update(Buffer.from(at.buffer, at.byteOffset, at.byteLength))
    } else if (typeof at === 'object' && at !== null) {
      for (const [key, item] of Object.entries(at)) {
        hash.update(`${key}:`)
        add(item)
      }
    } else {
      hash.update(`${String(at)};`)
    }
  }
  add(value)
  return hash.digest('hex')
}
