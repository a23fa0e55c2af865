// The addon itself, without the facade: whatever it is handed, it answers or throws an error with a
// code, and reads no memory that is not there (a crash ends this file).
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ERROR_CODES, type ErrorCode } from '../../../lib/base/errors.js'
import { toNativeBatch } from '../../../lib/batch/batch.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { NativeBatch, NativeTrainingState } from '../../../lib/native/contract.js'
import { loadTorch } from '../../../lib/native/load.js'
import { same } from '../../helpers/expect.js'
import { byteBatch, TINY } from '../../helpers/tiny.js'

const torch = loadTorch()
torch.setThreads(1)

const SMALL = { ...TINY, embedDim: 8, depths: [1, 1], heads: [1, 2] } as const
const model = await SwinTransformer.create(SMALL)
const trainer = await LocalTrainer.create(model, { modules: 2, target: 'image' })
const features = await trainer.native.features(batch())
const prepared = await torch.prepareBatch(batch())
const state = await trainer.native.readState()
const weights = await model.native.readParameters()
const auxiliary = await trainer.native.readAuxiliary()

function batch(): NativeBatch {
  const augment = { cropPadding: 2, flip: true, mixup: 0.5, randAugmentOps: 1, erasing: 0.5 }
  return toNativeBatch({ ...byteBatch(2), augment }, model.config)
}

type Call = (...values: readonly unknown[]) => unknown

/** A function of the addon with arguments that it takes. */
interface Subject {
  readonly call: Call
  readonly values: () => unknown[]
}

function subject(call: (...values: never[]) => unknown, values: () => unknown[]): Subject {
  return { call: call as Call, values }
}

function choice() {
  const shape = { rows: 2, in: 2, out: 2, threads: 4096 }
  return { kind: 'input', dtype: 'float32', backend: 'mkl', ...shape } as const
}

function matrix() {
  return { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  createModel: subject(torch.createModel, () => [model.config, 'cpu']),
  createTrainer: subject(torch.createTrainer, () => [
    model.native,
    structuredClone(trainer.recipe),
  ]),
  prepareBatch: subject(torch.prepareBatch, () => [batch()]),
  memoryStats: subject(torch.memoryStats, () => ['cpu']),
  emptyCache: subject(torch.emptyCache, () => ['cpu']),
  resetPeakMemoryStats: subject(torch.resetPeakMemoryStats, () => ['cpu']),
  resetAccumulatedMemoryStats: subject(torch.resetAccumulatedMemoryStats, () => ['cpu']),
  memoryInfo: subject(torch.memoryInfo, () => ['cpu']),
  setCpuMemoryLimit: subject(torch.setCpuMemoryLimit, () => [0]),
  failCpuAllocation: subject(torch.failCpuAllocation, () => [0]),
  setThreads: subject(torch.setThreads, () => [1]),
  addProductChoices: subject(torch.addProductChoices, () => [[choice()]]),
  productBackends: subject(torch.productBackends, () => ['input', 'float32']),
  productBy: subject(torch.productBy, () => [choice(), { dy: matrix(), weight: matrix() }]),
  lockFile: subject(torch.lockFile, () => [0]),
  useVectorKernels: subject(torch.useVectorKernels, () => [true]),
  refuseNondeterminism: subject(torch.refuseNondeterminism, () => [false]),
  ...methodsOf('model', model.native, {
    writeParameters: () => [weights],
    predict: () => [batch()],
    gradients: () => [batch()],
    evaluate: () => [batch()],
    measureUnits: () => [{ batchSize: 2, recompute: 'none', dtype: 'float32' }],
    measureModule: () => [
      { begin: 0, end: 2, batchSize: 2, module: { ...trainer.recipe.modules[0] } },
    ],
  }),
  ...methodsOf('trainer', trainer.native, {
    writeAuxiliary: () => [{}],
    step: () => [
      batch(),
      { learningRates: [0, null], clipNorm: undefined, timeline: false, calls: false, stop: false },
    ],
    evaluate: () => [batch()],
    predict: () => [batch()],
    reconstruct: () => [batch()],
    features: () => [batch()],
    stepModule: () => [
      0,
      { features, image: features, labels: Int32Array.of(1, 2), learningRate: 0, clipNorm: 1 },
    ],
    forwardModule: () => [0, features],
    releaseOptimizer: () => [0],
    keepAverage: () => [undefined],
    setProducts: () => [[choice()]],
    writeState: () => [copyOf(state)],
  }),
}

function methodsOf<T extends object>(
  name: string,
  native: T,
  methods: Readonly<Record<string, () => unknown[]>>,
): Record<string, Subject> {
  return Object.fromEntries(
    Object.entries(methods).map(([method, values]) => {
      const call: Call = (...given) =>
        (native as Record<string, Call>)[method]?.call(native, ...given)
      return [`${name}.${method}`, { call, values }]
    }),
  )
}

function copyOf(from: NativeTrainingState): NativeTrainingState {
  return { generator: from.generator, tensors: { ...from.tensors } }
}

/** Anything that a script can put in a value's place. */
function junk(valid: unknown): unknown[] {
  const detached = new Float32Array(10)
  structuredClone(detached, { transfer: [detached.buffer] })
  const shrinking = new Uint8Array(3 * 32 * 32 * 2)
  const other = (from: object, like: object) =>
    Object.setPrototypeOf(Object.create(from), Object.getPrototypeOf(like)) as unknown
  return [
    ...[undefined, null, true, 'x', '', -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300],
    ...[2 ** 31, 2 ** 53, 10n, Symbol('s'), () => 1, new Date(), /x/, new Map(), {}, { length: 3 }],
    ...[[], [null], [[]], ['x'], new Array(5), Object.create(null), new Proxy([], {})],
    ...[new Uint8Array(2), new Int8Array(8), new Int32Array(2), new Float32Array(2)],
    ...[
      new Float64Array(10),
      new BigInt64Array(10),
      new Uint8ClampedArray(6144),
      new DataView(new ArrayBuffer(8)),
    ],
    ...[new ArrayBuffer(40), new SharedArrayBuffer(40), new Float32Array(new SharedArrayBuffer(8))],
    ...[detached, shrunk(shrinking), model.native, trainer.native, features, prepared],
    ...[other(features, model.native), other(model.native, features), other({}, prepared)],
    ...(typeof valid === 'object' && valid !== null
      ? [Object.create(valid), new Proxy(valid, {})]
      : []),
  ]
}

/** Of a buffer that holds less now than when the array was made. */
function shrunk(array: Uint8Array): Uint8Array {
  const Resizable = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(length: number): void }
  const buffer = new Resizable(array.length, { maxByteLength: array.length })
  const view = new Uint8Array(buffer, 0, array.length)
  buffer.resize(4)
  return view
}

/** Places of values within values: [0], [0, 'images'], [1, 'modules', 0, 'dtype'] and so on. */
function placesIn(values: unknown, most = 4): (string | number)[][] {
  const isPlain =
    Array.isArray(values) ||
    (typeof values === 'object' &&
      values !== null &&
      Object.getPrototypeOf(values) === Object.prototype)
  if (!isPlain || most === 0) return []
  const keys = Array.isArray(values) ? [...values.keys()] : Object.keys(values)
  // Of many tensors the first ones: they are read alike.
  const isTensor = (key: string | number) => typeof key === 'string' && key.includes('.')
  const chosen = [...keys.filter((key) => !isTensor(key)), ...keys.filter(isTensor).slice(0, 3)]
  return chosen.flatMap((key) => {
    const inner = (values as Record<string | number, unknown>)[key]
    return [[key], ...placesIn(inner, most - 1).map((place) => [key, ...place])]
  })
}

/** Puts a value, or something that gives one, in a place; what is around it is copied. */
function put(
  values: unknown,
  [key, ...rest]: (string | number)[],
  make: (old: unknown) => PropertyDescriptor,
): unknown {
  const copy = (Array.isArray(values) ? [...values] : { ...(values as object) }) as Record<
    string | number,
    unknown
  >
  const at = key as string | number
  const descriptor =
    rest.length === 0 ? make(copy[at]) : { value: put(copy[at], rest, make), enumerable: true }
  return Object.defineProperty(copy, at, { configurable: true, ...descriptor })
}

let answered = 0
let refused = 0

async function tries(what: string, call: () => unknown): Promise<void> {
  try {
    const answer = (await call()) as { dispose?: () => void } | undefined
    if (answer !== features && answer !== prepared) answer?.dispose?.()
    answered += 1
  } catch (error) {
    const code = (error as { code?: ErrorCode }).code
    const told = `${what}: ${error instanceof Error ? error.message : String(error)}`
    assert.ok(code !== undefined && ERROR_CODES.includes(code), told)
    refused += 1
  }
}

for (const [name, { call, values }] of Object.entries(SUBJECTS)) {
  test(`${name} answers, or throws an error with a code`, async () => {
    await tries(name, () => call())
    for (const place of placesIn(values())) {
      const valid = place.reduce(
        (at: unknown, key) => (at as Record<string, unknown>)[key],
        values(),
      )
      const given = (make: (old: unknown) => PropertyDescriptor) =>
        put(values(), place, make) as unknown[]
      for (const value of junk(valid)) {
        // Some answers take long, or a lot: networks and batches of a million.
        if (value === 2 ** 31 || value === 2 ** 53) torch.setCpuMemoryLimit(2 ** 28)
        const where = `${name}(${place.join('.')})`
        await tries(where, () => call(...given(() => ({ value, enumerable: true }))))
        let asked = 0
        const get = () => (asked++ === 0 ? valid : value)
        if (place.length > 1)
          await tries(where, () => call(...given(() => ({ get, enumerable: true }))))
        torch.setCpuMemoryLimit(0)
        torch.failCpuAllocation(0)
        torch.useVectorKernels(true)
        torch.setThreads(1)
      }
    }
  })
}

test('memory that is taken away while a batch is read is not read', async () => {
  for (const key of ['augment', 'mean', 'labels', 'images'] as const) {
    const valid = batch()
    const hostile = Object.defineProperty({ ...valid }, key, {
      get() {
        const { buffer } = valid.images
        structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })
        return valid[key]
      },
    })
    let code: string | undefined
    try {
      await trainer.native.evaluate(hostile)
    } catch (error) {
      code = (error as { code?: string }).code
    }
    assert.is(code, 'ERR_SHAPE', key)
  }
})

test('what an object inherits is no tensor', async () => {
  await model.native.writeParameters(weights)
  const bias = weights['head.fc.bias'] as { data: Float32Array; shape: number[] }
  const data = bias.data.map((value) => value + 1)
  await model.native.writeParameters(Object.create({ 'head.fc.bias': { shape: bias.shape, data } }))
  same(weights, await model.native.readParameters(), 'weights')
  await model.native.writeParameters({ 'head.fc.bias': Object.create({ shape: bias.shape, data }) })
  assert.equal((await model.native.readParameters())['head.fc.bias']?.data, data)
})

test('much of that was refused, and everything works as before', async () => {
  console.log(`${answered} answered, ${refused} refused`)
  assert.ok(refused > 10_000, `${answered} answered, ${refused} refused`)
  await model.native.writeParameters(weights)
  await trainer.native.writeAuxiliary(auxiliary)
  await trainer.native.keepAverage(undefined)
  await trainer.native.writeState(state)
  await trainer.step(byteBatch(2))
  model.dispose()
})

test.run()
