// `localformer memory summarize`: what was alive when memory was highest.
import type { Argv, CommandModule } from 'yargs'
import { expected, LocalformerError } from '../../base/errors.js'
import { formatBytes, formatPercent } from '../../base/format.js'
import {
  type DeviceSummary,
  type SnapshotSummary,
  summarizeSnapshot,
} from '../../measure/snapshot-summary.js'
import { type Command, type GlobalOptions, printJson, printText } from '../command.js'
import { formatTable } from '../table.js'

interface SummarizeArguments {
  file: string
  top: number
}

const summarizeCommand: Command<SummarizeArguments> = {
  command: 'summarize <file>',
  describe: 'What was alive when memory was highest, from a snapshot of ours or of PyTorch',
  builder: (yargs) =>
    yargs
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe: 'What --memory-snapshot or torch.cuda.memory._dump_snapshot wrote',
      })
      .option('top', {
        type: 'number',
        default: 20,
        requiresArg: true,
        describe: 'Rows of the table; --json has all',
      })
      .example(
        '$0 memory summarize paper.pickle',
        'by module, phase and what it is for',
      ) as unknown as Argv<GlobalOptions & SummarizeArguments>,
  handler: async (options) => {
    const { file, top, json } = options
    if (!Number.isInteger(top) || top < 1) {
      throw new LocalformerError('ERR_CONFIG', expected('a whole number of at least 1', 'top', top))
    }
    const summary = await summarizeSnapshot(file)
    if (json) printJson(summary)
    else printText(formatSnapshot(summary, top))
  },
}

export const memoryCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'memory',
  describe: 'Read what --memory-snapshot wrote',
  builder: (yargs) =>
    yargs.command(summarizeCommand).demandCommand(1, 'Expected summarize after `memory`.'),
  handler: () => {},
}

/** The tables of all devices as text. */
export function formatSnapshot(summary: SnapshotSummary, top: number): string {
  const isOwn = summary.by === 'localformer'
  const parts = summary.devices.map((device) => formatDevice(device, isOwn, top))
  if (parts.length === 0) parts.push('No memory is in use, and nothing was recorded.')
  if (summary.isComplete === false) {
    parts.push('The oldest events are missing: an earlier peak would not be seen.')
  }
  return parts.join('\n\n')
}

function formatDevice(device: DeviceSummary, isOwn: boolean, top: number): string {
  const { peakBytes, peakEvent, peakAt, groups } = device
  const when =
    peakEvent === null
      ? 'before all events'
      : `at event ${peakEvent + 1} of ${device.events}${peakAt === '' ? '' : ` (${peakAt})`}`
  const head = isOwn
    ? ['module', 'phase', 'kind', 'bytes', 'share', 'allocations', 'largest', 'mostly by']
    : ['code', 'bytes', 'share', 'allocations', 'largest', 'mostly by']
  const rows = groups
    .slice(0, top)
    .map((group) => [
      group.module,
      ...(isOwn ? [group.phase, group.kind] : []),
      ...[formatBytes(group.bytes), formatPercent(group.bytes / peakBytes), `${group.allocations}`],
      ...[formatBytes(group.largestBytes), group.operator],
    ])
  const rest = groups.slice(top)
  const others = rest.reduce((sum, { bytes }) => sum + bytes, 0)
  return [
    `Device ${device.device}: at most ${formatBytes(peakBytes)} asked for, ${when}`,
    '',
    formatTable(head, rows),
    ...(rest.length === 0 ? [] : [`and ${rest.length} more with ${formatBytes(others)}`]),
  ].join('\n')
}
