// Every export of lib/index.ts with odd values: wholly odd ones, and right ones of which one thing was
// changed. A call may succeed or fail with a LocalformerError; nothing else, and never hang.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import * as exported from '../../lib/index.js'
import { byteBatch, floatBatch, TINY } from '../helpers/tiny.js'
import { Chance, type Settings } from './chance.js'
import { changed, odd, show, Trap } from './odd-values.js'
import { Tally } from './tally.js'

interface Target {
  readonly name: string
  readonly call: (...args: never[]) => unknown
  /** Arguments that are right, to be changed; none: wholly odd ones alone. */
  readonly right: readonly unknown[] | undefined
}

const { LocalformerError } = exported

/** Is no value of the world outside: of TypeScript alone, or named by its users and not called. */
// `plan` and `planRanks` try steps in other processes, which takes the whole round (test/cli/plan.test.ts has its refusals).
const NOT_CALLED = new Set(['LocalformerError', 'plan', 'planRanks'])
/** What ends the subject for all that come after, or is only for the package itself. */
const NOT_TRIED = new Set([
  ...['constructor', 'dispose', 'finish', 'adopt', 'runExclusive', 'look', 'exclusive'],
  ...['of', 'holds', 'measureModule', 'timeModule', 'timeUnits'],
])

const HANG_MS = 20_000
/** Events of a training that are asked for. */
const EVENTS = 3

export async function failApi(
  _length: 'short' | 'long',
  _say: (line: string) => void,
  settings: Settings,
): Promise<Tally> {
  const [tally, chance] = [new Tally(), new Chance(settings)]
  const before = process.cwd()
  const folder = mkdtempSync(path.join(tmpdir(), 'localformer-faults-api-'))
  // Names without a folder are of this one.
  process.chdir(folder)
  const stray: unknown[] = []
  const note = (error: unknown) => stray.push(error)
  process.on('unhandledRejection', note)
  process.on('uncaughtException', note)
  try {
    const subjects = await makeSubjects(folder)
    const targets = targetsOf(subjects)
    tally.count('functions', targets.length)
    for (const target of targets) await tryCall(tally, chance, target, target.right ?? [])
    for (let turn = 0; chance.goesOn; turn++) {
      const target = targets[turn % targets.length] as Target
      await tryCall(tally, chance, target, argumentsOf(chance, target.right))
      exported.memory.setLimit(undefined)
      exported.memory.recordMemoryHistory({ enabled: false })
    }
    await subjects.run.dispose()
    subjects.model.dispose()
  } finally {
    for (const error of stray) tally.fail('left behind', describeError(error))
    process.off('unhandledRejection', note)
    process.off('uncaughtException', note)
    process.chdir(before)
    rmSync(folder, { recursive: true, force: true })
  }
  return tally
}

function argumentsOf(chance: Chance, right: readonly unknown[] | undefined): unknown[] {
  if (right === undefined || right.length === 0 || chance.below(3) === 0) {
    return Array.from({ length: chance.below((right?.length ?? 2) + 2) }, () => odd(chance))
  }
  const at = chance.below(right.length)
  return right.map((value, place) => (place === at ? changed(value, chance) : value))
}

async function tryCall(
  tally: Tally,
  chance: Chance,
  { name, call }: Target,
  args: readonly unknown[],
): Promise<void> {
  tally.count('calls')
  const where = `${name}(${args.map((value) => show(value)).join(', ')})`
  try {
    const result = await withinTime(async () => settle(call(...(args as never[]))))
    if (result === HANGS) chance.violation(tally, where, 'does not end', `${name} hangs`)
    else tally.count('calls that succeeded')
  } catch (error) {
    if (error instanceof LocalformerError) tally.count('calls that were refused')
    else if (error instanceof Trap) tally.count("calls that passed on a caller's own error")
    else {
      const what = describeError(error)
      // Without the values in it, of which there are many.
      chance.violation(tally, where, what, `${name} ${placeOf(error) ?? what.slice(0, 25)}`)
    }
  }
}

const HANGS = Symbol('hangs')

async function withinTime<T>(work: () => Promise<T>): Promise<T | typeof HANGS> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<typeof HANGS>((resolve) => {
    timer = setTimeout(() => resolve(HANGS), HANG_MS)
  })
  try {
    return await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}

/** Waits for what a call began, takes a few events of it, frees what it made. */
async function settle(made: unknown): Promise<void> {
  const result = made instanceof Promise ? await made : made
  if (typeof result !== 'object' || result === null) return
  if ('events' in result && 'finish' in result) await (result as exported.Run).dispose()
  else if (Symbol.asyncIterator in result) {
    const events = (result as AsyncGenerator)[Symbol.asyncIterator]()
    for (let event = 0; event < EVENTS; event++) if ((await events.next()).done) break
    await events.return?.(undefined)
  } else if (Symbol.iterator in result && 'next' in result) {
    const items = result as Iterator<unknown>
    for (let item = 0; item < EVENTS; item++) if (items.next().done) break
  } else if ('model' in result && 'trainer' in result) {
    ;(result.model as { dispose(): void }).dispose()
  } else if ('dispose' in result && typeof result.dispose === 'function') result.dispose()
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${show(error)}`
  return `${error.name}: ${error.message} ${placeOf(error) ?? ''}`.trim()
}

function placeOf(error: unknown): string | undefined {
  const stack = error instanceof Error ? error.stack : undefined
  return stack
    ?.split('\n')
    .find((line) => line.includes('/lib/'))
    ?.trim()
}

type Subjects = Awaited<ReturnType<typeof makeSubjects>>

async function makeSubjects(folder: string) {
  const model = await exported.SwinTransformer.create(TINY)
  const local = { modules: 2, split: 'stages' } as const
  const trainer = await exported.LocalTrainer.create(model, local)
  const backprop = await exported.BackpropTrainer.create(model)
  const synthetic = { trainCount: 16, testCount: 4, imageSize: 32, classes: 10, seed: 1 }
  const data = await exported.openDataset('synthetic', { synthetic })
  const [module] = trainer.modules
  if (module === undefined) throw new Error('no module')
  const features = await trainer.features(byteBatch(2))
  const prepared = await trainer.prepare(byteBatch(2))
  const store = new exported.CheckpointStore(path.join(folder, 'checkpoints'))
  const weights = path.join(folder, 'weights.safetensors')
  await exported.exportWeights(model, weights)
  mkdirSync('run')
  const state = await trainer.readState()
  const file = await exported.readCheckpoint(weights)
  const run = await exported.createRun({ trainer, data }, { directory: 'own' })
  const handles = { model, trainer, backprop, module, features, prepared, store, run }
  return { ...handles, data, weights, state, file }
}

/** Right arguments by the name of what is called. */
function rightArguments(s: Subjects): Readonly<Record<string, readonly unknown[]>> {
  const { model, trainer, data, weights } = s
  const batch = byteBatch(2)
  const indices = [0, 1]
  const image = { height: 32, width: 32, images: new Uint8Array(3 * 32 * 32) }
  const split = {
    images: new Uint8Array(2 * 3 * 4),
    labels: Uint8Array.of(0, 1),
    height: 2,
    width: 2,
  }
  const stats = { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] }
  const training = {
    epochs: 1,
    batchSize: 2,
    maxSteps: 1,
    testLimit: 2,
    checkpointSteps: 1,
    seed: 0,
  }
  const tensors = { a: { shape: [2], data: Float32Array.of(1, 2) } }
  const progress = {
    ...{ step: 1, epoch: 1, stepInEpoch: 1, stage: 'steps', phase: 0, seconds: 1 },
    ...{
      epochSums: [],
      pace: { images: 1, seconds: 1 },
      evaluation: null,
      best: null,
      peakAllocatedBytes: 1,
    },
    ...{ frozen: [false, false], identity: { model: {}, trainer: {}, training: {}, data: {} } },
  }
  const state = { progress, weights: tensors, ...s.state }
  const step = { learningRate: 1e-3, clipNorm: 1, timeline: true }
  const convert = { format: 'auto', to: 'timm', imageSize: 32, windowSize: 4, strict: true }
  return {
    createTraining: [
      { run: 'paper:2', dataset: { name: 'synthetic' }, model: { variant: 'micro' } },
      data,
    ],
    readConfig: ['missing.yaml'],
    resolveConfig: [
      {
        ...{ preset: 'quick', run: 'paper:2', seed: 1, modules: [{ learningRate: 1 }, null] },
        ...{
          training: { epochs: 1 },
          dataset: { name: 'synthetic' },
          optimizer: { betas: [0.9, 0.9] },
        },
      },
    ],
    configToYaml: [exported.resolveConfig(), 'head'],
    batchCount: [data.train, { batchSize: 4, dropLast: true }],
    batches: [data.train, { batchSize: 4, seed: 1, epoch: 1, shuffle: true, dropLast: true }],
    defineDataset: [{ name: 'mine', classes: ['a', 'b'], train: split, test: split, ...stats }],
    openDataset: [
      'synthetic',
      {
        synthetic: { trainCount: 2, testCount: 2, imageSize: 4, classes: 2, seed: 1 },
        ...{ dataDir: 'x', imageFolder: { imageSize: 8 }, onProgress: () => {} },
      },
    ],
    readImage: ['missing.png', { size: 8 }],
    setThreads: [1],
    evaluate: [trainer, data.test, { batchSize: 2, limit: 4 }],
    predict: [
      trainer,
      [image],
      { ...stats, classes: data.classes, top: 2, exits: true, batchSize: 1 },
    ],
    'BackpropTrainer.create': [
      model,
      { optimizer: 'sgd', betas: [0.9, 0.9], accumulate: 2, seed: 1 },
    ],
    'LocalTrainer.create': [
      model,
      {
        ...{ method: 'paper', modules: 2, split: [1], target: 'features', decoder: 'conv' },
        ...{ decoderHidden: 8, head: 'mlp', headHidden: 8, labelWeight: [0, 1], sample: 0.5 },
        ...{ perModule: [{ optimizer: 'sgd', betas: [0.1, 0.2] }, null], chunkSize: 1 },
      },
    ],
    'SwinTransformer.create': [{ ...TINY, variant: 'micro', mlpRatio: 2, dropPath: 0.1, seed: 1 }],
    measureTimelines: ['run', { device: 'cpu', onProgress: () => {} }],
    load: [{ libtorch: 'nowhere' }],
    writeReport: ['run', { output: 'report.html' }],
    loadRun: ['run', 'cpu'],
    createRun: [
      { trainer, data, options: training },
      { directory: 'made', overwrite: true, loggers: [{ name: 'own', log: () => {} }] },
    ],
    resumeRun: ['made', { epochs: 2, loggers: [], data }],
    evaluateRun: [
      { trainer, model, spec: { text: 'paper:2' }, classes: data.classes, dataset: 'x', ...stats },
      data,
      { split: 'test', batchSize: 2, limit: 2 },
    ],
    readRunSummary: ['made'],
    'run.record': [{ metrics: { 'a/b': 1 } }],
    'run.save': [{ best: true, epochEnded: false }],
    train: [trainer, data, training],
    captureState: [trainer, progress],
    predictTransfers: [trainer],
    readCheckpoint: [weights],
    writeCheckpoint: ['out.safetensors', { tensors, metadata: { a: 'b' }, integers: {} }],
    convertWeights: [weights, 'converted.safetensors', convert],
    exportWeights: [
      ...[model, 'exported.safetensors'],
      { format: 'timm', dataset: 'mine', classes: data.classes, ...stats },
    ],
    inspectWeights: [weights],
    loadWeights: [model, weights, { format: 'timm', strict: true, classifier: 'load' }],
    'memory.setLimit': [2 ** 34],
    'memory.recordMemoryHistory': [{ maxEntries: 1000 }],
    'memory.dumpSnapshot': ['snapshot.pickle'],
    'cuda.recordMemoryHistory': [{ maxEntries: 1000 }, 0],
    'cuda.dumpSnapshot': ['snapshot.pickle', 0],
    summarizeSnapshot: ['snapshot.pickle'],
    'cuda.setPerProcessMemoryFraction': [0.5, 0],
    'model.writeParameters': [{ 'norm.bias': s.file.tensors['norm.bias'] ?? tensors.a }],
    'model.predict': [batch],
    'model.gradients': [floatBatch(2)],
    'model.measureUnits': [2, { recompute: 'block', dtype: 'float32' }],
    'trainer.step': [
      { ...batch, augment: { flip: true, cropPadding: 2, mixup: 1, seed: 1 } },
      step,
    ],
    'trainer.prepare': [
      { split: data.train, indices, augment: { erasing: 0.5, randAugmentOps: 1 } },
    ],
    'trainer.evaluate': [batch],
    'trainer.predict': [{ ...batch, height: 32, width: 32, ...stats }],
    'trainer.reconstruct': [batch],
    'trainer.features': [batch],
    'trainer.writeAuxiliary': [{}],
    'trainer.keepAverage': [0.9],
    'trainer.writeState': [s.state],
    'module.step': [s.features, [1, 2], { learningRate: 1e-3, clipNorm: 1 }],
    'module.forward': [s.features],
    CheckpointStore: ['made'],
    'store.save': [
      state,
      { keep: ['best'], metadata: { a: 'b' }, logs: { a: 1 }, surroundings: { b: 'c' } },
    ],
  }
}

function targetsOf(subjects: Subjects): Target[] {
  const right = rightArguments(subjects)
  const { model, trainer, backprop, module, features, prepared, store, run } = subjects
  const targets: Target[] = []
  const add = (name: string, call: unknown) => {
    if (typeof call === 'function')
      targets.push({ name, call: call as Target['call'], right: right[name] })
  }
  for (const [name, value] of Object.entries(exported)) {
    if (NOT_CALLED.has(name)) continue
    if (typeof value === 'function' && /^class\b/.test(`${value}`)) {
      const Made = value as unknown as new (...args: unknown[]) => object
      if (name === 'CheckpointStore') add(name, (...args: unknown[]) => new Made(...args))
      for (const key of Object.getOwnPropertyNames(value)) {
        const method = (value as unknown as Record<string, unknown>)[key]
        if (typeof method === 'function' && !NOT_TRIED.has(key)) {
          add(`${name}.${key}`, method.bind(value))
        }
      }
    } else if (typeof value === 'function') add(name, value)
    else if (
      typeof value === 'object' &&
      Object.prototype.toString.call(value) === '[object Module]'
    ) {
      for (const [key, inner] of Object.entries(value)) add(`${name}.${key}`, inner)
    }
  }
  const instances = { model, trainer, backprop, module, features, prepared, store, run }
  for (const [name, instance] of Object.entries(instances)) {
    for (const key of methodsOf(instance)) {
      const method = (instance as unknown as Record<string, unknown>)[key]
      if (typeof method === 'function') add(`${name}.${key}`, method.bind(instance))
    }
  }
  return targets
}

function methodsOf(instance: object): string[] {
  const names = new Set<string>()
  for (
    let at = Object.getPrototypeOf(instance);
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at)
  ) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof value === 'function' && !NOT_TRIED.has(key)) names.add(key)
    }
  }
  return [...names]
}
