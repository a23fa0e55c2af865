// The paper's claims as arithmetic on a comparison, and how they read as text and as Markdown.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatMemory, markdownOfMemory } from '../../../lib/cli/commands/reproduce-memory.js'
import { escapeMarkdown, markdownTable } from '../../../lib/cli/markdown.js'
import { parseRunSpec } from '../../../lib/local/run-spec.js'
import type { CompareResult, CompareRow } from '../../../lib/measure/compare.js'
import {
  claimsOf,
  MEMORY_RUNS,
  notesOf,
  type ReproduceResult,
} from '../../../lib/measure/reproduce.js'

const MIB = 2 ** 20

/**
 * A row as compare makes it; `peaks`: of each module, in MiB, empty: out of memory. 100 MiB more are
 * reserved than allocated.
 */
function row(spec: string, peaks: readonly number[], paperSaving: number | null = null) {
  const peak = peaks.length > 0 ? Math.max(...peaks) * MIB : null
  return {
    spec,
    ...{ dtype: parseRunSpec(spec).dtype, precision: parseRunSpec(spec).precision },
    status: peak === null ? 'out_of_memory' : 'ok',
    peakAllocatedBytes: peak,
    peakReservedBytes: peak === null ? null : peak + 100 * MIB,
    savedVsFirst: peak === null ? null : 1 - peak / (1000 * MIB),
    savedReservedVsFirst: peak === null ? null : 1 - (peak + 100 * MIB) / (1100 * MIB),
    timeVsFirst: peak === null ? null : 1.25,
    paperSaving,
    perModule: peaks.map((mib) => ({ peakAllocatedBytes: mib * MIB })),
  } as unknown as CompareRow
}

function comparison(...rows: readonly CompareRow[]): CompareResult {
  return {
    schema: 1,
    device: 'cpu',
    simulated: null,
    warnings: [],
    versions: { localformer: '0', libtorch: '2.9.1', node: '20' },
    dataset: 'cifar10',
    imageSize: 224,
    batchSize: 32,
    steps: 3,
    rounds: 1,
    seed: 0,
    threads: 2,
    rows,
  }
}

function reproduction(...rows: readonly CompareRow[]): ReproduceResult {
  const result = comparison(...rows)
  const machine = {
    cpu: 'CPU_1 | *',
    cores: 2,
    threads: 2,
    gpu: null,
    isSimulated: false,
    libtorch: '2.9.1',
  }
  const claims = claimsOf(result)
  const notes = notesOf(result)
  return {
    ...{ schema: 1, what: 'memory', date: '2026-01-02' },
    machine,
    claims,
    notes,
    comparison: result,
  }
}

const TINY = [
  row('backprop', [1000]),
  row('infopro:4', [625, 300]),
  row('paper:4', [400, 550], 0.45),
] as const

test('every run is a valid spec, end to end first, and none is there twice', () => {
  const specs = MEMORY_RUNS.map((run) => parseRunSpec(run))
  assert.is(specs[0]?.method, 'backprop')
  assert.is(new Set(MEMORY_RUNS).size, MEMORY_RUNS.length)
  const decoders = (modules: number) =>
    specs
      .filter((spec) => spec.method === 'paper' && spec.modules === modules)
      .filter((spec) => spec.split === 'stages')
      .map((spec) => spec.decoder)
  assert.equal(decoders(2), ['linear', 'conv', 'transformer'])
  assert.equal(decoders(4), ['linear', 'conv', 'transformer'])
})

test('a comparison of all runs has every claim', () => {
  const rows = MEMORY_RUNS.map((run) => row(run, [500]))
  assert.is(claimsOf(comparison(...rows)).length, 7)
})

test('a claim is the saving of one run against another, beside what was reported', () => {
  const [own, rival, between] = claimsOf(comparison(...TINY))
  assert.equal(own, {
    run: 'paper:4',
    against: 'backprop',
    measured: 1 - 550 / 1000,
    measuredReserved: 1 - 650 / 1100,
    quoted: 0.45,
  })
  assert.is(rival?.measured, 1 - 625 / 1000)
  // What is published of it is of another decoder.
  assert.is(rival?.quoted, null)
  assert.is(between?.against, 'infopro:4')
  assert.is(between?.measured, 1 - 550 / 625)
  assert.is(between?.quoted, null)
})

test('what stands against infopro is told to be no measure of what the paper says of its rival', () => {
  const [note, ...others] = notesOf(comparison(...TINY))
  assert.match(
    note ?? '',
    'no measure of it (38 % below end to end at K=4 by the table of arXiv 2309.17357), nor what is saved against them ' +
      'of the paper\'s "up to 12 %"',
  )
  assert.equal(others, [])
  const result = reproduction(...TINY)
  for (const text of [formatMemory(result), markdownOfMemory(result)]) {
    assert.is(text.split(note ?? '').length, 2)
    assert.is(text.split('12 %').length, 2)
  }
  assert.equal(notesOf(comparison(row('backprop', [9]), row('paper:4', [8]))), [])
})

test('nothing is quoted for a network that the paper did not train', () => {
  const claims = claimsOf(comparison(row('backprop', [9]), row('infopro:4', [8])))
  assert.equal(
    claims.map(({ quoted }) => quoted),
    [null],
  )
})

test('a run that is out of memory has no saving, nor has one against it', () => {
  const claims = claimsOf(comparison(row('backprop', []), ...TINY.slice(1)))
  assert.equal(
    claims.map(({ measured }) => measured),
    [null, null, 1 - 550 / 625],
  )
})

test('as text: one row a run, the largest module, and the claims as sentences', () => {
  const text = formatMemory(reproduction(...TINY, row('backprop,recompute=block', [500])))
  assert.match(text, /^cifar10 at 224 px, batch 32, AdamW, 3 steps on cpu$/m)
  assert.match(text, /^Measured on 2026-01-02 on CPU_1 \| \* \(2 logical cores, 2 threads\), with/m)
  assert.match(text, /^infopro:4 +625 MiB +37\.5 % +1\.25x +625 \/ 300 +1 of 2$/m)
  assert.match(text, /^paper:4 +550 MiB +45\.0 % +45 % +1\.25x +400 \/ 550 +2 of 2$/m)
  assert.match(
    text,
    /^paper:4 is 12\.0 % below infopro:4 \(not the paper's InfoPro-Transformer\)$/m,
  )
  assert.match(text, /^paper:4 is 10\.0 % above backprop,recompute=block$/m)
  assert.match(
    text,
    /^infopro:4 is 37\.5 % below backprop \(not the paper's InfoPro-Transformer\)$/m,
  )
})

test('as text: out of memory is said in the row and in the claim', () => {
  const text = formatMemory(reproduction(row('backprop', []), ...TINY.slice(1)))
  assert.match(text, /^backprop +out of memory$/m)
  assert.match(text, /^paper:4 against backprop: out of memory \(the paper: 45 %\)$/m)
})

test('as Markdown: a table of the same width everywhere, and text that stays text', () => {
  const text = markdownOfMemory(reproduction(...TINY, row('backprop,accumulate=4', [])))
  const table = text.split('\n').filter((line) => line.startsWith('|'))
  assert.is(table.length, 2 + 4)
  for (const line of table) assert.is(line.split('|').length, 7 + 2, line)
  assert.match(text, '| `infopro:4` | 625 MiB | 37.5 % |  |')
  assert.match(text, '| `backprop,accumulate=4` | out of memory |')
  assert.match(text, 'CPU\\_1 \\| \\*')
  assert.match(
    text,
    "- `paper:4` is 12.0 % below `infopro:4` (not the paper's InfoPro-Transformer)",
  )
})

test('on a card what is reserved stands beside, with what is saved of it', () => {
  const rows = [...TINY, row('backprop,accumulate=4', [])]
  const onCpu = reproduction(...rows)
  for (const simulated of ['NVIDIA H100 80GB HBM3', null]) {
    const device = simulated === null ? 'cuda:0' : 'sim:h100'
    const result = { ...onCpu, comparison: { ...onCpu.comparison, device, simulated } }
    const text = formatMemory(result)
    assert.match(text, /^run +peak +saved +reserved +saved reserved +paper /m)
    assert.match(text, /^paper:4 +550 MiB +45\.0 % +650 MiB +40\.9 % +45 % /m)
    assert.match(
      text,
      /^paper:4 is 45\.0 % below backprop, by reserved bytes 40\.9 % below \(the paper: 45 %\)$/m,
    )
    assert.match(text, /^peak and saved are of allocated bytes, .* saved reserved: of that/m)
    const markdown = markdownOfMemory(result)
    const table = markdown.split('\n').filter((line) => line.startsWith('|'))
    for (const line of table) assert.is(line.split('|').length, table[0]?.split('|').length, line)
    assert.match(markdown, '| `infopro:4` | 625 MiB | 37.5 % | 725 MiB | 34.1 % |  |')
    assert.match(markdown, '| `backprop,accumulate=4` | out of memory |  |  |  |  |')
  }
  assert.not.match(formatMemory(onCpu), 'reserved')
})

test('as Markdown: a bar in a cell does not end it', () => {
  assert.is(markdownTable(['a', 'b'], [['x|y']]), '| a | b |\n| --- | ---: |\n| x\\|y |  |')
  assert.is(escapeMarkdown('a_b [c] <d> `e` 1.5'), 'a\\_b \\[c\\] \\<d\\> \\`e\\` 1.5')
})

test.run()
