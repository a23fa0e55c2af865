// What the addon makes of options that are not what contract.ts says: the facade's defects, told by
// name, never a crash.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toNativeBatch } from '../../../lib/batch/batch.js'
import { LocalTrainer } from '../../../lib/local/local-trainer.js'
import { nativeRecipe } from '../../../lib/local/native-trainer.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { NativeBatch, NativeModelOptions } from '../../../lib/native/contract.js'
import { loadTorch } from '../../../lib/native/load.js'
import { byteBatch, TINY } from '../../helpers/tiny.js'

const torch = loadTorch()
torch.setThreads(1)

const CODES = ['ERR_CONFIG', 'ERR_SHAPE', 'ERR_TORCH', 'ERR_NON_FINITE']
const JUNK: readonly unknown[] = [
  ...[undefined, null, 'x', 0.5, -1, Number.NaN, 1e300, true, [], [1], {}, () => 1, 10n],
  ...[new Uint8Array(1), new Float32Array(1), Symbol('s'), new ArrayBuffer(1)],
]

interface Leaf {
  readonly path: readonly string[]
  readonly value: unknown
}

/** Every value in an object, and every object in it. */
function leavesOf(value: unknown, path: readonly string[] = []): Leaf[] {
  const isInner = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)
  const inner = isInner
    ? Object.entries(value).flatMap(([name, one]) => leavesOf(one, [...path, name]))
    : []
  return path.length === 0 ? inner : [{ path, value }, ...inner]
}

/** A copy with another value at a path. */
function changed<T>(value: T, [first = '', ...rest]: readonly string[], to: unknown): T {
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>
  copy[first] = rest.length === 0 ? to : changed(copy[first], rest, to)
  return copy as T
}

async function told(work: () => unknown): Promise<(Error & { code?: string }) | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return error as Error & { code?: string }
  }
}

/** Tries junk at every place; what is refused is refused with a code. Gives how many were. */
async function fuzz<T>(options: T, use: (options: T) => unknown): Promise<number> {
  let refused = 0
  for (const { path } of leavesOf(options)) {
    for (const junk of JUNK) {
      const error = await told(() => use(changed(options, path, junk)))
      if (error === undefined) continue
      assert.ok(CODES.includes(error.code ?? ''), `${path.join('.')}, ${String(junk)}: ${error}`)
      refused++
    }
  }
  return refused
}

/** Every value is read: one of another type is refused by the name of its place. */
async function refusesOthers<T>(options: T, use: (options: T) => unknown): Promise<void> {
  for (const { path } of leavesOf(options)) {
    const error = await told(() => use(changed(options, path, { an: 'object' })))
    const place = path.join('.')
    assert.is(error?.code, 'ERR_CONFIG', place)
    assert.match(error?.message ?? '', place)
    assert.match(error?.message ?? '', 'received')
  }
}

test("a network's sizes", async () => {
  const { device, ...sizes } = TINY
  const options: NativeModelOptions = { ...sizes, mlpRatio: 4, dropPath: 0, seed: 0 }
  const use = async (given: NativeModelOptions) =>
    (await torch.createModel(given, device)).dispose()
  await use(options)
  await refusesOthers(options, use)
  assert.ok((await fuzz(options, use)) > 150)
  for (const size of ['patchSize', 'windowSize', 'embedDim', 'classes']) {
    const error = await told(() => use(changed(options, [size], 0)))
    assert.is(error?.code, 'ERR_CONFIG', size)
  }
  for (const wrong of [undefined, null, 5, 'tiny']) {
    const error = await told(() => torch.createModel(wrong as never, device))
    assert.is(error?.code, 'ERR_CONFIG')
    assert.is(
      (await told(() => torch.createModel(options, wrong as never)))?.code !== undefined,
      true,
    )
  }
})

test("a trainer's options, each by its place", async () => {
  await using model = await SwinTransformer.create(TINY)
  const trainer = await LocalTrainer.create(model, { modules: 2, decoder: 'conv' })
  const recipe = nativeRecipe(trainer.recipe)
  const use = async (given: typeof recipe) =>
    (await torch.createTrainer(model.native, given)).dispose()
  await use(recipe)
  await refusesOthers(recipe, use)
  const words = { target: 'features', distance: 'mse, l1, bce', recompute: 'selective' }
  for (const [name, known] of Object.entries(words)) {
    const error = await told(() => use(changed(recipe, ['modules', '0', name], 'other')))
    assert.match(error?.message ?? '', known)
    assert.match(error?.message ?? '', '"other"')
  }
  for (const [name, known] of [
    ['decoder', 'linear, conv, transformer, infopro'],
    ['head', 'linear, mlp, transformer, later-stages'],
    ['optimizer', 'adamw, sgd'],
  ] as const) {
    const error = await told(() => use(changed(recipe, ['modules', '0', name, 'kind'], 'other')))
    assert.is(error?.message, `Expected one of ${known} for \`${name}\` but received "other"`)
  }
  for (const ends of [[], [3], [10, 10], [11], [0, 10], [12, 10], [-1, 10], [5, 3]]) {
    const error = await told(() => use({ ...recipe, ends }))
    assert.is(error?.code, 'ERR_CONFIG', `${ends}`)
  }
  assert.ok((await fuzz(recipe, use)) > 400)
})

test('a batch and what is done to it', async () => {
  await using model = await SwinTransformer.create(TINY)
  const batch: NativeBatch = toNativeBatch(byteBatch(2), model.config)
  const use = async (given: NativeBatch) => (await torch.prepareBatch(given)).dispose()
  await use(batch)
  await refusesOthers(batch, use)
  assert.ok((await fuzz(batch, use)) > 250)
  for (const [change, code] of [
    [{ count: 3 }, 'ERR_SHAPE'],
    [{ height: 2 ** 40 }, 'ERR_SHAPE'],
    [{ height: 31 }, 'ERR_SHAPE'],
    [{ labels: Int32Array.of(1) }, 'ERR_SHAPE'],
    [{ indices: Uint32Array.of(0, 2) }, 'ERR_SHAPE'],
    [{ augment: { ...batch.augment, cropPadding: 32 } }, 'ERR_CONFIG'],
    [{ augment: { ...batch.augment, cropPadding: -1 } }, 'ERR_CONFIG'],
  ] as const) {
    const error = await told(() => use({ ...batch, ...change }))
    assert.is(error?.code, code, JSON.stringify(change))
  }
  const detached = Uint8Array.from(batch.images)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  assert.is((await told(() => use({ ...batch, images: detached })))?.code, 'ERR_SHAPE')
})

test("a step's options", async () => {
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, { modules: 2 })
  const batch = toNativeBatch(byteBatch(2), model.config)
  const options = {
    learningRates: [0, null],
    clipNorm: 1,
    timeline: false,
    calls: false,
    stop: false,
  }
  const use = (given: typeof options) => trainer.native.step(batch, given)
  await use(options)
  await refusesOthers(options, use)
  const features = (await trainer.features(byteBatch(2))).native
  const one = { features, labels: Int32Array.of(0, 1), learningRate: 0 }
  const step = { ...one, clipNorm: undefined, image: undefined }
  await trainer.native.stepModule(0, step)
  for (const [change, code] of [
    [{ labels: [0, 1] }, 'ERR_CONFIG'],
    [{ labels: Int32Array.of(0) }, 'ERR_SHAPE'],
    [{ learningRate: '1' }, 'ERR_CONFIG'],
  ] as const) {
    const error = await told(() => trainer.native.stepModule(0, { ...step, ...change } as never))
    assert.is(error?.code, code, JSON.stringify(change))
  }
  for (const wrong of [undefined, {}, model.native, trainer.native]) {
    const other = { ...step, features: wrong as never }
    const stepped = await told(() => trainer.native.stepModule(0, other))
    const forwarded = await told(() => trainer.native.forwardModule(0, wrong as never))
    const recipe = nativeRecipe(trainer.recipe)
    const created = await told(() => torch.createTrainer(features as never, recipe))
    for (const error of [stepped, forwarded, created]) {
      assert.is(error?.code, 'ERR_CONFIG')
      assert.match(error?.message ?? '', 'a handle')
    }
  }
  for (const index of [-1, 2, 0.5, 'x', undefined]) {
    const error = await told(() => trainer.native.stepModule(index as never, step))
    assert.is(error?.code, 'ERR_CONFIG', `${index}`)
  }
  // Last, since a rate of 1e300 is a number.
  await fuzz(options, use)
})

test.run()
