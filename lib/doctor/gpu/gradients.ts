// Gradients of a device against those of the CPU in float32, parameter by parameter.
import { median } from '../../base/median.js'
import { getDeviceProperties } from '../../device/cuda.js'
import { parseRunSpec, SPEC_KEYS } from '../../local/run-spec.js'
import { type SwinOptions, SwinTransformer, type Tensors } from '../../local/swin-transformer.js'
import { createTrainer } from '../../local/trainer-of-spec.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { batchOf, openDevice, subjectOf } from './subject.js'

/**
 * A gradient is read off a step of SGD without momentum and decay, (before - after) / rate, since that
 * takes every option of a run. At so large a rate the rounding of the weights does not show.
 */
const RATE = 2 ** 16

/** Of a parameter: L2 norm of the difference over the L2 norm of the reference. */
export interface ParameterError {
  readonly name: string
  readonly error: number
}

export interface ErrorSummary {
  readonly largest: number
  /** Name of the parameter with the largest. */
  readonly worst: string
  /** Over the parameters. */
  readonly median: number
}

export interface Bound {
  readonly largest: number
  readonly median: number
}

/**
 * float32 with IEEE products: another order of summation, 2^-24 in each operation, amplified where terms
 * cancel.
 */
export const IEEE_BOUND: Bound = { largest: 1e-3, median: 1e-4 }
/**
 * Over the errors of bfloat16 on the CPU, which are measured on the spot: bfloat16 rounds to 2^-8 on both,
 * in another order.
 */
const BFLOAT16_FACTOR = 3
/** TF32 rounds inputs of products alone, and to 2^-11: less than bfloat16. */
const TF32_FACTOR = 1

/** One way to compute on the device. */
interface Way {
  readonly title: string
  readonly spec: string
  /** Over bfloat16 on the CPU; null: {@link IEEE_BOUND}. */
  readonly factor: number | null
}

const BFLOAT16 = 'backprop,dtype=bfloat16'

/** Without a choice of precision float32 is as LibTorch has it: IEEE products, TF32 convolutions. */
function waysOf(hasBfloat16: boolean): readonly Way[] {
  const float32: readonly Way[] =
    'precision' in SPEC_KEYS
      ? [
          { title: 'float32, IEEE', spec: 'backprop,precision=ieee', factor: null },
          { title: 'float32, TF32', spec: 'backprop,precision=tf32', factor: TF32_FACTOR },
        ]
      : [{ title: 'float32, convolutions in TF32', spec: 'backprop', factor: TF32_FACTOR }]
  const bfloat16 = { title: 'bfloat16', spec: BFLOAT16, factor: BFLOAT16_FACTOR }
  return hasBfloat16 ? [...float32, bfloat16] : float32
}

export async function gradients(request: ItemRequest): Promise<Finding> {
  const { name, index } = openDevice(request.device)
  const { network } = subjectOf(request)
  // Images of the network's own size: how they are resized is no matter of gradients.
  const batch = batchOf(8, network.imageSize)
  const on = (device: string, spec: string) =>
    gradientsOf({ ...network, device: device as 'cpu' }, spec, batch)
  const reference = await on('cpu', 'backprop')
  const rounded = summarise(errorsOf(reference, await on('cpu', BFLOAT16)))
  const hasBfloat16 = name === 'cpu' || getDeviceProperties(index).major >= 8
  const rows = []
  for (const { title, spec, factor } of waysOf(hasBfloat16)) {
    const errors = errorsOf(reference, await on(name, spec))
    const bound = factor === null ? IEEE_BOUND : scaled(rounded, factor)
    rows.push({ title, spec, ...summarise(errors), bound, parameters: errors })
  }
  const complaints = rows.flatMap(({ title, bound, ...found }) =>
    isWithin(found, bound) ? [] : [`${title}: ${textOf(found)}, above ${boundText(bound)}`],
  )
  const summary = [
    ...rows.map((row) => `${row.title}: ${textOf(row)}`),
    ...(hasBfloat16 ? [] : ['no bfloat16 before compute capability 8.0']),
  ].join('; ')
  return judged(complaints, summary, { rows, bfloat16OnCpu: rounded })
}

async function gradientsOf(
  network: SwinOptions,
  spec: string,
  batch: ReturnType<typeof batchOf>,
): Promise<Tensors> {
  await using model = await SwinTransformer.create(network)
  await using trainer = await createTrainer(model, parseRunSpec(spec), {
    ...{ optimizer: 'sgd', momentum: 0, weightDecay: 0 },
  })
  const before = await model.readParameters()
  await trainer.step(batch, { learningRate: RATE })
  const after = await model.readParameters()
  const entries = Object.entries(before).map(([name, { shape, data }]) => {
    const moved = after[name]?.data as Float32Array
    return [name, { shape, data: data.map((value, i) => (value - (moved[i] as number)) / RATE) }]
  })
  return Object.fromEntries(entries)
}

/** Infinite where one has values and the reference none. */
export function errorsOf(reference: Tensors, other: Tensors): ParameterError[] {
  return Object.entries(reference).map(([name, { data }]) => {
    const values = other[name]?.data
    let [difference, size] = [0, 0]
    for (const [i, value] of data.entries()) {
      difference += (value - (values?.[i] ?? Number.NaN)) ** 2
      size += value ** 2
    }
    return { name, error: difference === 0 ? 0 : Math.sqrt(difference / size) }
  })
}

export function summarise(errors: readonly ParameterError[]): ErrorSummary {
  // One that is no number is worse than any.
  const rank = ({ error }: ParameterError) =>
    Number.isNaN(error) ? Number.POSITIVE_INFINITY : error
  const worst = errors.reduce((a, b) => (rank(b) > rank(a) ? b : a))
  return { largest: rank(worst), worst: worst.name, median: median(errors.map(rank)) }
}

export function isWithin(found: Bound, bound: Bound): boolean {
  return found.largest <= bound.largest && found.median <= bound.median
}

function scaled({ largest, median: middle }: Bound, factor: number): Bound {
  return { largest: factor * largest, median: factor * middle }
}

function textOf({ largest, worst, median: middle }: ErrorSummary): string {
  return `median ${middle.toExponential(1)}, largest ${largest.toExponential(1)} (${worst})`
}

function boundText({ largest, median: middle }: Bound): string {
  return `${middle.toExponential(1)} and ${largest.toExponential(1)}`
}
