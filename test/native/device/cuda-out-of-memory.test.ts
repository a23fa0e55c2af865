// Out of memory on a CUDA device, in every place where it can happen: an error with the numbers of that
// moment. On a simulated card, whose allocator is LibTorch's own.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  cuda,
  LocalformerError,
  LocalTrainer,
  load,
  memory,
  SwinTransformer,
} from '../../../lib/index.js'
import { locateLibtorch } from '../../../lib/libtorch/locate.js'
import { loadTorch } from '../../../lib/native/load.js'

const test = suite('out of memory on CUDA')

const { flavor } = locateLibtorch()
if (flavor === 'cpu') console.log('SKIP: this LibTorch has no CUDA libraries')
else load({ simulate: '2GiB,sm_86' })
const check = flavor === 'cpu' ? test.skip : test

const SIZE = 64
const NETWORK = { variant: 'micro', imageSize: SIZE, device: 'cuda' } as const
const ERROR_CODE = { runtime: 2, cublas: 3 } as const

function batchOf(count: number) {
  const images = new Uint8Array(count * 3 * SIZE * SIZE)
  return { images, labels: new Int32Array(count), height: SIZE, width: SIZE }
}

async function failure(work: () => Promise<unknown>): Promise<LocalformerError> {
  try {
    await work()
  } catch (error) {
    assert.instance(error, LocalformerError)
    return error as LocalformerError
  }
  throw new Error('it did not fail')
}

/** Lets a fraction of the card be used for as long as `work` runs. */
async function within<T>(bytes: number, work: () => Promise<T>): Promise<T> {
  const total = cuda.getDeviceProperties().totalMemoryBytes
  cuda.emptyCache()
  cuda.setPerProcessMemoryFraction(bytes / total)
  try {
    return await work()
  } finally {
    cuda.setPerProcessMemoryFraction(1)
  }
}

function facts(error: LocalformerError) {
  return error as unknown as Readonly<Record<string, unknown>> & {
    readonly requestedBytes: number
    readonly allocatedBytes: number
    readonly reservedBytes: number
    readonly limitBytes: number
  }
}

const MIB = 2 ** 20

check(
  'a step: what was asked for, what was taken at that moment, the limit that was set',
  async () => {
    await using model = await SwinTransformer.create(NETWORK)
    await using trainer = await LocalTrainer.create(model, { modules: 2 })
    await trainer.step(batchOf(2), { learningRate: 1e-4 })
    const resident = memory.allocated('cuda')
    const limit = memory.reserved('cuda') + 64 * MIB
    const error = await within(limit, () => failure(() => trainer.step(batchOf(256))))
    assert.is(error.code, 'ERR_OUT_OF_MEMORY')
    const { requestedBytes, allocatedBytes, reservedBytes, limitBytes, module } = facts(error)
    assert.ok(requestedBytes > 0, 'what was asked for is known')
    assert.ok(allocatedBytes > resident + MIB, 'activations are counted, as they were alive')
    assert.ok(reservedBytes + requestedBytes > limitBytes, 'it did not fit')
    assert.ok(Math.abs(limitBytes - limit) < 1024, `the limit is the fraction's: ${limitBytes}`)
    assert.is(module, 'module 1')
    assert.is(memory.allocated('cuda'), resident, 'nothing stays behind')
    await trainer.step(batchOf(2), { learningRate: 1e-4 })
  },
)

check('the upload of a batch, an evaluation, a network that does not fit', async () => {
  await using model = await SwinTransformer.create(NETWORK)
  const batch = batchOf(512)
  const limit = memory.reserved('cuda') + 2 * MIB
  for (const work of [
    () => model.evaluate(batch),
    () => SwinTransformer.create({ ...NETWORK, variant: 'tiny' }),
  ]) {
    const error = await within(limit, () => failure(work))
    assert.is(error.code, 'ERR_OUT_OF_MEMORY', error.message)
    assert.ok(facts(error).requestedBytes > 0, error.message)
    assert.ok(Math.abs(facts(error).limitBytes - limit) < 1024, error.message)
  }
})

check('a limit in bytes holds to the byte, and reserved memory stays within it', async () => {
  await using model = await SwinTransformer.create(NETWORK)
  cuda.emptyCache()
  for (const above of [2 * MIB + 1, 33 * MIB - 1]) {
    const limit = memory.reserved('cuda') + above
    memory.setLimit(limit, 'cuda')
    const error = await failure(() => model.evaluate(batchOf(2048)))
    assert.is(error.code, 'ERR_OUT_OF_MEMORY', error.message)
    assert.is(facts(error).limitBytes, limit)
    assert.match(error.message, 'as it was set')
    assert.match(error.hint ?? '', '--memory-limit SIZE')
    assert.ok(memory.reserved('cuda') <= limit)
    cuda.emptyCache()
  }
  memory.setLimit('999GiB', 'cuda')
  await model.evaluate(batchOf(2048))
  memory.setLimit('1MiB', 'cuda:0')
  memory.setLimit(undefined, 'cuda')
  cuda.emptyCache()
  await model.evaluate(batchOf(2048))
})

check('a handle that cuBLAS cannot make, and what the runtime itself says', async () => {
  const torch = loadTorch()
  await using model = await SwinTransformer.create(NETWORK)
  await using trainer = await LocalTrainer.create(model, { modules: 2 })
  torch.failSimulatedCall('cublasSgemmStridedBatched', 0, ERROR_CODE.cublas)
  const product = await failure(() => trainer.step(batchOf(2), { learningRate: 1e-4 }))
  assert.is(product.code, 'ERR_OUT_OF_MEMORY', product.message)
  assert.is(facts(product).module, 'module 1')
  torch.failSimulatedCall('cudaMemcpyAsync', 0, ERROR_CODE.runtime)
  const copy = await failure(() => trainer.step(batchOf(2), { learningRate: 1e-4 }))
  assert.is(copy.code, 'ERR_OUT_OF_MEMORY', copy.message)
  await trainer.step(batchOf(2), { learningRate: 1e-4 })
})

test.run()
