// The memory table on the device beside that of the simulated card: how far the simulation can be
// believed. Every row in a fresh process.
import { formatBytes } from '../../base/format.js'
import { median } from '../../base/median.js'
import { getDeviceProperties } from '../../device/cuda.js'
import { type CompareRow, compare } from '../../measure/compare.js'
import { CARDS } from '../../simulated/cards.js'
import { type Finding, type ItemRequest, judged } from './item.js'
import { imagesOf, openDevice, subjectOf } from './subject.js'

const RUNS = [
  'backprop',
  'paper:4',
  'paper:4,decoder=conv',
  'backprop,recompute=block',
  'paper:4,split=balanced,recompute=block',
  'backprop,dtype=bfloat16',
] as const

/** Peaks may differ by so much of the device's: what its libraries take is not all known. */
const TOLERANCE = 0.01

/** One run at one batch size. */
export interface MemoryRow {
  readonly batchSize: number
  readonly spec: string
  /** Null where it was out of memory, or was not measured. */
  readonly deviceBytes: number | null
  readonly simulatedBytes: number | null
  readonly deviceReservedBytes: number | null
  readonly simulatedReservedBytes: number | null
  /** Simulated less device. */
  readonly differenceBytes: number | null
  /** The simulated figure is at least so much. */
  readonly isLowerBound: boolean
}

export async function memoryTable(request: ItemRequest): Promise<Finding> {
  const card = cardBeside(request.device)
  const sizes = request.quick ? [8] : [32, 128]
  const rows: MemoryRow[] = []
  for (const batchSize of sizes) {
    const simulated = await measure(request, card, batchSize)
    const real =
      request.device === card ? undefined : await measure(request, request.device, batchSize)
    rows.push(...simulated.map((row, i) => besides(batchSize, real?.[i], row)))
  }
  const details = { card, isSimulatedAlone: request.device === card, rows }
  if (request.device === card) return judged([], simulatedText(rows), details)
  return judged(complaintsOf(rows), `${card}: ${fidelityText(rows)}`, details)
}

async function measure(request: ItemRequest, device: string, batchSize: number) {
  const { rows } = await compare({
    ...{ runs: request.quick ? RUNS.slice(0, 3) : RUNS, batchSize, steps: 1, warmup: 1 },
    data: imagesOf(2 * batchSize),
    model: { ...subjectOf(request).network, device: device as 'cpu' },
  })
  return rows
}

/** The simulated card of the same name and size as the device, else of its size and architecture. */
function cardBeside(device: string): string {
  if (device.startsWith('sim:')) return device
  // No context, which would take memory of the card that is measured.
  const { name, major, minor, totalMemoryBytes } = getDeviceProperties(openDevice(device).index)
  return simulatedLike({ name, major, minor, totalBytes: totalMemoryBytes })
}

export function simulatedLike(card: {
  readonly name: string
  readonly major: number
  readonly minor: number
  readonly totalBytes: number
}): string {
  // Cards of one name are sold with more than one size of memory.
  const isLike = ({ name, totalBytes }: (typeof CARDS)[number]) =>
    name === card.name && Math.abs(totalBytes / card.totalBytes - 1) < 0.02
  const known = CARDS.find(isLike)
  if (known !== undefined) return `sim:${known.key}`
  return `sim:${Math.round(card.totalBytes / 2 ** 20)}MiB,sm_${card.major}${card.minor}`
}

function besides(
  batchSize: number,
  real: CompareRow | undefined,
  simulated: CompareRow,
): MemoryRow {
  const [a, b] = [real?.peakAllocatedBytes ?? null, simulated.peakAllocatedBytes]
  return {
    ...{ batchSize, spec: simulated.spec, deviceBytes: a, simulatedBytes: b },
    deviceReservedBytes: real?.peakReservedBytes ?? null,
    simulatedReservedBytes: simulated.peakReservedBytes,
    differenceBytes: a === null || b === null ? null : b - a,
    isLowerBound: simulated.isLowerBound,
  }
}

/** Rows in which the simulation is not what was measured. */
export function complaintsOf(rows: readonly MemoryRow[]): string[] {
  return rows.flatMap(({ batchSize, spec, deviceBytes, simulatedBytes, isLowerBound }) => {
    const where = `${spec} at ${batchSize}`
    if (deviceBytes === null && simulatedBytes === null) return []
    if (deviceBytes === null) return [`${where}: out of memory on the device alone`]
    if (simulatedBytes === null) return [`${where}: out of memory in the simulation alone`]
    const difference = simulatedBytes - deviceBytes
    const allowed = TOLERANCE * deviceBytes
    const isRight = difference <= allowed && (isLowerBound || difference >= -allowed)
    return isRight
      ? []
      : [
          `${where}: simulated ${formatBytes(simulatedBytes)}, ${formatBytes(deviceBytes)} on the device`,
        ]
  })
}

function fidelityText(rows: readonly MemoryRow[]): string {
  const differences = rows.flatMap(({ differenceBytes: one }) =>
    one === null ? [] : [Math.abs(one)],
  )
  if (differences.length === 0) return 'out of memory in every row'
  const exact = differences.filter((one) => one === 0).length
  return (
    `${exact} of ${rows.length} peaks the same to the byte; median difference ` +
    `${formatBytes(median(differences))}, largest ${formatBytes(Math.max(...differences))}`
  )
}

function simulatedText(rows: readonly MemoryRow[]): string {
  const peaks = rows.map(({ batchSize, spec, simulatedBytes, isLowerBound }) => {
    const peak = simulatedBytes === null ? 'out of memory' : formatBytes(simulatedBytes)
    return `${spec} at ${batchSize} ${isLowerBound && simulatedBytes !== null ? '>= ' : ''}${peak}`
  })
  return `simulated only: ${peaks.join(', ')}`
}
