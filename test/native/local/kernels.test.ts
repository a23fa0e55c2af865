// The CPU's own loops against LibTorch's operations, which stand beside them, and among themselves:
// every instruction set, number format and way to keep less.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BackpropTrainer } from '../../../lib/local/backprop-trainer.js'
import type { LocalOptions } from '../../../lib/local/options.js'
import {
  type SwinOptions,
  SwinTransformer,
  type Tensors,
} from '../../../lib/local/swin-transformer.js'
import { DTYPES } from '../../../lib/local/words.js'
import { loadTorch } from '../../../lib/native/load.js'
import { fixture, run } from '../../helpers/child.js'
import { atMost, rejects, same } from '../../helpers/expect.js'
import { IN_PARTS, ODD, steppedByKernels } from '../../helpers/stepped-by-kernels.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

const torch = loadTorch()

async function plainly<T>(call: () => Promise<T>): Promise<T> {
  torch.useVectorKernels(false)
  try {
    return await call()
  } finally {
    torch.useVectorKernels(true)
  }
}

/** Largest difference of a tensor's values over the largest value of the other, over all tensors. */
function farthest(a: Readonly<Record<string, ArrayLike<number>>>, b: typeof a): number {
  return Math.max(
    ...Object.keys(a).map((name) => {
      const [x, y] = [a[name] as ArrayLike<number>, b[name] as ArrayLike<number>]
      assert.is(x.length, y.length, name)
      let most = 0
      let size = 0
      for (let i = 0; i < x.length; i++) {
        most = Math.max(most, Math.abs((x[i] as number) - (y[i] as number)))
        size = Math.max(size, Math.abs(y[i] as number))
      }
      return most / Math.max(size, 1e-6)
    }),
  )
}

const values = (tensors: Tensors) =>
  Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, data]))

const NETWORKS: Readonly<Record<string, SwinOptions>> = {
  'sizes that fill no vector': ODD,
  'windows of 144 tokens': {
    ...TINY,
    imageSize: 96,
    windowSize: 12,
    depths: [2, 1],
    heads: [1, 2],
  },
  'windows of 576 tokens, beyond the loops': {
    ...{ ...TINY, imageSize: 96, windowSize: 24, embedDim: 8, depths: [1, 1], heads: [1, 2] },
  },
  'heads of 32': { ...TINY, embedDim: 32, depths: [2, 2, 1, 1] },
  // Of which no product is computed again, in bfloat16 none but the first stage's.
  'many channels': { ...TINY, embedDim: 264, depths: [1, 1], heads: [3, 6] },
}
const OPTIONS: readonly LocalOptions[] = [
  {},
  { recompute: 'selective' },
  { recompute: 'block' },
  { penaltyWeight: 0.1 },
  { penaltyWeight: 0.1, recompute: 'block' },
  { accumulate: 2, recompute: 'selective' },
]

for (const [name, network] of Object.entries(NETWORKS)) {
  for (const options of OPTIONS) {
    test(`${name}, ${JSON.stringify(options)}: as by LibTorch's operations`, async () => {
      for (const batch of network === ODD ? [5, IN_PARTS.float32] : [5]) {
        const loops = await steppedByKernels(options, network, batch)
        const plain = await plainly(() => steppedByKernels(options, network, batch))
        atMost(farthest(values(loops), values(plain)), 2e-5, `weights, batch ${batch}`)
      }
    })
  }
  test(`${name}, bfloat16: no farther from float32 than LibTorch's operations are`, async () => {
    const options: LocalOptions = { dtype: 'bfloat16' }
    const loops = await steppedByKernels(options, network)
    const plain = await plainly(() => steppedByKernels(options, network))
    const exact = await steppedByKernels({}, network)
    const off = farthest(values(loops), values(exact))
    atMost(off, 1.5 * farthest(values(plain), values(exact)), 'weights')
    assert.ok(off > 0)
  })
}

// What a card learns from its auxiliary losses has gradients of its own.
for (const options of [{}, { head: 'mlp' }, { target: 'none' }] satisfies LocalOptions[]) {
  test(`auxiliary losses ${JSON.stringify(options)}: as by autograd`, async () => {
    const network = { ...TINY, depths: [2, 2, 1, 1] }
    const own: LocalOptions = { ...options, modules: 3 }
    const loops = await steppedByKernels(own, network)
    const plain = await plainly(() => steppedByKernels(own, network))
    atMost(farthest(values(plain), values(loops)), 2e-5, 'weights')
    const chunked = await plainly(() => steppedByKernels({ ...own, chunkSize: 2 }, network))
    atMost(farthest(values(plain), values(chunked)), 2e-5, 'weights')
  })
}

test('what is kept and what is computed again is the same', async () => {
  same(await steppedByKernels({}), await steppedByKernels({ recompute: 'selective' }), 'weights')
})

for (const [name, network] of Object.entries(NETWORKS)) {
  test(`${name}: in parts and in bfloat16 it is the same but for rounding`, async () => {
    for (const dtype of DTYPES) {
      const batch = network === ODD ? IN_PARTS[dtype] : 5
      const kept = await steppedByKernels({ dtype }, network, batch)
      for (const recompute of ['selective', 'block'] as const) {
        const again = await steppedByKernels({ dtype, recompute }, network, batch)
        const tolerance = dtype === 'float32' ? 2e-5 : 2e-2
        atMost(farthest(values(again), values(kept)), tolerance, `${recompute}, ${dtype}`)
      }
    }
  })
}

test('another number of threads gives the same up to the rounding of products', async () => {
  const before = torch.threads()
  try {
    torch.setThreads(1)
    const one = await steppedByKernels({ recompute: 'selective' })
    torch.setThreads(3)
    atMost(
      farthest(values(await steppedByKernels({ recompute: 'selective' })), values(one)),
      1e-5,
      'weights',
    )
  } finally {
    torch.setThreads(before)
  }
})

for (const capability of ['default', 'avx2']) {
  test(`ATEN_CPU_CAPABILITY=${capability} gives the same up to rounding`, async () => {
    const { code, stdout, stderr } = await run([fixture('kernels')], {
      ATEN_CPU_CAPABILITY: capability,
    })
    assert.is(code, 0, stderr)
    atMost(farthest(JSON.parse(stdout), values(await steppedByKernels({}))), 2e-5, 'weights')
  })
}

// Each stands where one loop alone sees it.
const PLACES: Readonly<Record<string, string>> = {
  'softmax and the products of a head': 'layers.0.blocks.1.attn.qkv.bias',
  'the bias of attention': 'layers.0.blocks.0.attn.relative_position_bias_table',
  GELU: 'layers.0.blocks.0.mlp.fc1.bias',
  'a norm': 'layers.1.blocks.0.norm1.weight',
  'a residual sum': 'layers.0.blocks.0.mlp.fc2.bias',
}
for (const [what, name] of Object.entries(PLACES)) {
  for (const dtype of DTYPES) {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      test(`${bad} in ${what} stays visible in ${dtype}`, async () => {
        await using model = await SwinTransformer.create(TINY)
        const weight = (await model.readParameters())[name] as Tensors[string]
        await model.writeParameters({ [name]: { ...weight, data: weight.data.fill(bad) } })
        await using trainer = await BackpropTrainer.create(model, { dtype })
        await rejects(() => trainer.step(floatBatch(3)), 'ERR_NON_FINITE')
      })
    }
  }
}

test.run()
