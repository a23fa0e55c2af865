// The report of `doctor --gpu` as text.
import { safeLine } from '../base/terminal.js'
import type { GpuReport } from '../doctor/gpu/check-gpu.js'
import type { DeviceKind, ItemRow } from '../doctor/gpu/item.js'
import { simulatedName } from './simulated-text.js'

const WHERE: Readonly<Record<DeviceKind, (title: string) => string>> = {
  gpu: (title) => title,
  simulated: (title) =>
    `${simulatedName(title)}: memory and calls are those of such a card, nothing is computed`,
  cpu: () => 'the CPU in the place of a GPU: it says nothing of one',
}

/** One line an item: how it ended, how long it took, and, below it, what was found. */
export function formatGpuReport({ device, quick, items, version }: GpuReport): string {
  const width = Math.max(...items.map(({ title }) => safeLine(title).length))
  const count = (status: ItemRow['status']) => items.filter((item) => item.status === status).length
  return [
    `localformer ${version} on ${WHERE[device.kind](device.title)} (${device.name}; ${device.reason})` +
      (quick ? ', quick: the micro network' : ''),
    '',
    ...items.map((item) => rowText(item, width)),
    '',
    `${count('ok')} ok, ${count('fail')} failed, ${count('left')} left`,
  ].join('\n')
}

function rowText({ title, status, seconds, summary }: ItemRow, width: number): string {
  const time = seconds === null ? '' : `${seconds.toFixed(1)} s`
  return `${status.padEnd(4)}  ${safeLine(title).padEnd(width)}  ${time.padStart(7)}  ${safeLine(summary)}`
}
