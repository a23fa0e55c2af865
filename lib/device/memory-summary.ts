// Counters of an allocator -> the table of torch.cuda.memory_summary(), line by line as PyTorch 2.11 prints it.

const WIDTH = 75

/** Key of a counter, its title; that of a GPU's memory says so. */
const SIZES: readonly (readonly [string, string])[] = [
  ['allocated_bytes', 'Allocated memory'],
  ['active_bytes', 'Active memory'],
  ['requested_bytes', 'Requested memory'],
  ['reserved_bytes', 'reserved memory'],
  ['inactive_split_bytes', 'Non-releasable memory'],
]
const COUNTS: readonly (readonly [string, string])[] = [
  ['allocation', 'Allocations'],
  ['active', 'Active allocs'],
  ['segment', 'reserved segments'],
  ['inactive_split', 'Non-releasable allocs'],
]
const OVERSIZE: readonly (readonly [string, string])[] = [
  ['oversize_allocations', 'Oversize allocations'],
  ['oversize_segments', 'Oversize segments'],
]
const POOLS = [
  ['large_pool', '      from large pool'],
  ['small_pool', '      from small pool'],
] as const
const COLUMNS = ['current', 'peak', 'allocated', 'freed'] as const

type Flat = Readonly<Record<string, number>>
type Format = (value: number, reference: number) => string

/**
 * @param flat Counters by PyTorch's keys.
 * @param device `cpu`, whose table names no GPU, or `cuda:N`, whose table is PyTorch's to the letter.
 */
export function memoryTable(flat: Flat, device: string): string {
  const index = /^cuda:(\d+)$/.exec(device)?.[1]
  const isGpu = index !== undefined
  const title = isGpu
    ? `PyTorch CUDA memory summary, device ID ${index.padEnd(17)}`
    : 'Memory summary of the CPU'.padEnd(56)
  const ooms = `${isGpu ? 'CUDA' : ' CPU'} OOMs: ${numberOf(flat, 'num_ooms').padEnd(12)}`
  const retries = `${isGpu ? 'cudaMalloc' : '    malloc'} retries: ${numberOf(flat, 'num_alloc_retries').padEnd(8)}`
  const lines = [
    '='.repeat(WIDTH),
    ` ${' '.repeat(16)} ${title} `,
    '-'.repeat(WIDTH),
    `  ${' '.repeat(9)} ${ooms} | ${' '.repeat(6)} ${retries}  `,
    '='.repeat(WIDTH),
    '        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  ',
  ]
  const titled = (title: string) => titleOf(title, isGpu)
  for (const [group, format] of [
    [SIZES, formatSize],
    [COUNTS, formatCount],
  ] as const) {
    for (const [key, title] of group) {
      lines.push('-'.repeat(WIDTH), row(flat, `${key}.all`, titled(title), format, `${key}.all`))
      for (const [pool, name] of POOLS) {
        lines.push(row(flat, `${key}.${pool}`, name, format, `${key}.all`))
      }
    }
  }
  for (const [key, title] of OVERSIZE) {
    lines.push('-'.repeat(WIDTH), row(flat, key, titled(title), formatCount, key))
  }
  lines.push('='.repeat(WIDTH))
  return `${lines.map((line) => `|${line}|`).join('\n')}\n`
}

function titleOf(title: string, isGpu: boolean): string {
  if (title === 'Oversize segments' && isGpu) return 'Oversize GPU segments'
  if (!title.startsWith('reserved')) return title
  return isGpu ? `GPU ${title}` : `R${title.slice(1)}`
}

/** The unit is that which suits the sum over both pools. */
function row(flat: Flat, key: string, title: string, format: Format, reference: string): string {
  const cells = COLUMNS.map((column) =>
    format(flat[`${key}.${column}`] ?? 0, flat[`${reference}.${column}`] ?? 0),
  )
  return ` ${title.padEnd(21)} | ${cells.join(' | ')} `
}

function numberOf(flat: Flat, key: string): string {
  return `${flat[key] ?? 0}`
}

const formatSize: Format = (value, reference) =>
  scaled(value, reference, 1024, 768 * 1024, ['B  ', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], 6)

const formatCount: Format = (value, reference) =>
  `${scaled(value, reference, 1000, 750 * 1000, [' ', 'K', 'M'], 7)} `

function scaled(
  value: number,
  reference: number,
  base: number,
  below: number,
  units: readonly string[],
  width: number,
): string {
  let [shown, left, unit] = [value, reference, 0]
  while (unit < units.length - 1 && left >= below) {
    shown = Math.floor(shown / base)
    left /= base
    unit += 1
  }
  return `${`${shown}`.padStart(width)} ${units[unit]}`
}
