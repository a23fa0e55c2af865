// Every way to compute a product of linear layers gives what the others give, but for rounding; and a
// table of them is read as it was written.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { choicesOf, productTableSchema, tableOf } from '../../../lib/device/products.js'
import type {
  NativeProductChoice,
  NativeTensor,
  NativeTensors,
} from '../../../lib/native/contract.js'
import { callNative, loadTorch } from '../../../lib/native/load.js'
import { atMost, rejects } from '../../helpers/expect.js'
import { closedFormula } from '../../helpers/golden.js'

const torch = loadTorch()

type Kind = NativeProductChoice['kind']
const KINDS: readonly Kind[] = ['forward', 'input', 'weight', 'added-weight']
/** Of the largest value, by what the type rounds to. */
const TOLERANCE = { float32: 1e-6, bfloat16: 1e-2 }

/** Values that bfloat16 holds exactly. */
function tensor(shape: readonly number[], seed: number): NativeTensor {
  const count = shape.reduce((a, b) => a * b, 1)
  return { shape, data: closedFormula(seed, count, 0, 1).map((v) => Math.round(v * 64) / 64) }
}

function operandsOf(kind: Kind, rows: number, inputs: number, out: number): NativeTensors {
  const all = {
    x: tensor([rows, inputs], 1),
    dy: tensor([rows, out], 2),
    weight: tensor([out, inputs], 3),
    bias: tensor([out], 4),
    sum: tensor([out, inputs], 5),
  }
  const names = {
    forward: ['x', 'weight', 'bias'],
    input: ['dy', 'weight'],
    weight: ['dy', 'x'],
    'added-weight': ['dy', 'x', 'sum'],
  }[kind] as (keyof typeof all)[]
  return Object.fromEntries(names.map((name) => [name, all[name]]))
}

/** In float64. */
function reference(kind: Kind, operands: NativeTensors): { shape: number[]; data: number[] } {
  const at = (name: string, i: number, j: number) => {
    const { shape, data } = operands[name] as NativeTensor
    return data[i * (shape[1] as number) + j] as number
  }
  const sizeOf = (name: string) => (operands[name] as NativeTensor).shape as [number, number]
  const product = (rows: number, columns: number, inner: number, term: Term, first: Pair) => ({
    shape: [rows, columns],
    data: Array.from({ length: rows * columns }, (_, place) => {
      const [i, j] = [Math.floor(place / columns), place % columns]
      let sum = first(i, j)
      for (let k = 0; k < inner; k++) sum += term(i, j, k)
      return sum
    }),
  })
  if (kind === 'forward') {
    const [[rows, inputs], [out]] = [sizeOf('x'), sizeOf('weight')]
    const bias = (operands.bias as NativeTensor).data
    const term: Term = (i, j, k) => at('x', i, k) * at('weight', j, k)
    return product(rows, out, inputs, term, (_, j) => bias[j] as number)
  }
  const [rows, out] = sizeOf('dy')
  if (kind === 'input') {
    const [, inputs] = sizeOf('weight')
    return product(rows, inputs, out, (i, j, k) => at('dy', i, k) * at('weight', k, j), zero)
  }
  const [, inputs] = sizeOf('x')
  const first: Pair = kind === 'weight' ? zero : (i, j) => at('sum', i, j)
  return product(out, inputs, rows, (i, j, k) => at('dy', k, i) * at('x', k, j), first)
}
type Term = (i: number, j: number, k: number) => number
type Pair = (i: number, j: number) => number
const zero = () => 0

const largest = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0)

for (const dtype of ['float32', 'bfloat16'] as const) {
  for (const kind of KINDS) {
    test(`${kind}, ${dtype}: every backend computes it, whatever the rows`, () => {
      const backends = torch.productBackends(kind, dtype)
      if (dtype === 'float32' || backends.length > 1) {
        assert.is(backends[0], 'mkl')
        assert.ok(backends.includes('onednn'))
        assert.is(backends.includes('widened'), dtype === 'bfloat16')
      } else {
        // Without instructions for it, which every processor with AVX-512 has.
        assert.not.ok(torch.versions().cpuCapability.startsWith('AVX512'))
        assert.equal(backends, ['widened'])
      }
      for (const [rows, inputs, out] of [
        [1, 8, 24],
        [7, 24, 8],
        [100, 48, 40],
        [257, 16, 33],
        [5_200, 400, 8], // More than is widened at a time.
      ] as const) {
        const operands = operandsOf(kind, rows, inputs, out)
        const want = reference(kind, operands)
        const most = largest(want.data)
        for (const backend of backends) {
          const got = torch.productBy({ kind, dtype, backend }, operands)
          const what = `${backend}, ${rows} x ${inputs} x ${out}`
          assert.equal(got.values.shape, want.shape, what)
          assert.is(got.dtype, dtype, what)
          assert.ok(got.isContiguous, what)
          const errors = want.data.map((v, i) => v - (got.values.data[i] as number))
          atMost(largest(errors) / most, TOLERANCE[dtype], what)
        }
      }
    })
  }
}

test('a table has a line for each product, and gives them back', () => {
  const choices: NativeProductChoice[] = KINDS.map((kind, k) => ({
    ...{ kind, dtype: k % 2 === 0 ? 'float32' : 'bfloat16', backend: 'onednn' },
    ...{ rows: 64, in: 3, out: 5 + k, threads: 2 },
  }))
  const table = tableOf(choices)
  assert.is(table['forward float32 64x3x5, 2 threads'], 'onednn')
  assert.equal(choicesOf(table), choices)
  assert.ok(productTableSchema().safeParse(table).success)
  for (const wrong of [
    { 'forward float32 64x3x5': 'onednn' },
    { 'forward float64 64x3x5, 2 threads': 'onednn' },
    { 'forward float32 64x3x5, 2 threads': 'cublas' },
  ]) {
    assert.not.ok(productTableSchema().safeParse(wrong).success, JSON.stringify(wrong))
  }
})

test('what the process knows is not replaced', async () => {
  const choice = { kind: 'input', dtype: 'float32', rows: 2, in: 3, out: 4, threads: 4096 } as const
  torch.addProductChoices([{ ...choice, backend: 'onednn' }])
  torch.addProductChoices([{ ...choice, backend: 'mkl' }])
  const known = torch.productChoices().find(({ threads }) => threads === 4096)
  assert.is(known?.backend, 'onednn')
  const odd = { ...choice, backend: 'cublas' } as unknown as NativeProductChoice
  await rejects(
    async () => callNative(() => torch.addProductChoices([odd])),
    'ERR_CONFIG',
    'mkl, onednn',
  )
})

test.run()
