// `compare --calls`: what a simulated device was asked to do in a step, as a table.
import { LocalformerError } from '../base/errors.js'
import { cardOfDevice } from '../device/device.js'
import type { DeviceCalls } from '../device/simulation.js'
import type { CompareResult, CompareRow } from '../measure/compare.js'
import { formatTable } from './table.js'

/** @throws {LocalformerError} `ERR_USAGE` for a device whose calls are not counted. */
export function checkCalls({ calls, device }: { calls: boolean; device: string }): void {
  if (!calls || cardOfDevice(device) !== undefined) return
  throw new LocalformerError(
    'ERR_USAGE',
    `\`--calls\` counts what a simulated device is asked, and ${device} is none`,
    { hint: 'Add a card: --device sim:rtx3060.' },
  )
}

const COLUMNS: readonly (readonly [string, keyof DeviceCalls])[] = [
  ['launches', 'launches'],
  ['products', 'products'],
  ['waits', 'synchronisations'],
  ['pageable', 'pageableCopies'],
  ['pinned', 'pinnedCopies'],
  ['fills', 'fills'],
]

/** A line a run, and below it what comes before the modules and each phase of each module. */
export function formatCalls({ rows }: CompareResult): string {
  return [
    formatTable(
      ['calls of a step', ...COLUMNS.map(([title]) => title), 'cudaMalloc'],
      rows.flatMap(linesOf),
    ),
    '',
    'waits: the host waits for the device. pageable, pinned: copies between both. cudaMalloc: since the start.',
  ].join('\n')
}

function linesOf({ spec, calls, perModule }: CompareRow): string[][] {
  if (calls === null) return [[spec, 'out of memory']]
  const phases = perModule.flatMap((module) =>
    Object.entries(module.calls ?? {}).map(
      ([phase, counted]) => [`${module.name}, ${phase}`, counted] as const,
    ),
  )
  const within = phases.map(([, counted]) => counted)
  const sum = (name: keyof DeviceCalls) => within.reduce((all, one) => all + one[name], 0)
  return [
    [spec, ...COLUMNS.map(([, name]) => number(calls[name])), number(calls.mallocs)],
    ['  the batch', ...COLUMNS.map(([, name]) => number(calls[name] - sum(name)))],
    ...phases.map(([title, counted]) => [
      `  ${title}`,
      ...COLUMNS.map(([, name]) => number(counted[name])),
    ]),
  ]
}

function number(count: number): string {
  return count.toLocaleString('en-US')
}
