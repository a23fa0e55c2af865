// PyTorch's tools read what we write, we read what PyTorch writes, and the table of the counters is PyTorch's.
// Runs where Python (`PYTHON`, or that of `npm run bench:peers`) has the torch that the stand-ins are for.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import { memoryTable } from '../../../lib/device/memory-summary.js'
import { LocalTrainer, memory, SwinTransformer, summarizeSnapshot } from '../../../lib/index.js'
import { memoryTool, whyNoPython } from '../../helpers/simulated-python.js'
import { floatBatch, TINY } from '../../helpers/tiny.js'

const reason = whyNoPython()
if (reason !== undefined) console.log(`SKIP: ${reason}`)
const test = reason === undefined ? plain : plain.skip

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-memory-tools-'))
plain.after(() => rmSync(folder, { recursive: true, force: true }))

interface Views {
  readonly segments: readonly string[]
  readonly memory: readonly string[]
  readonly segsum: string
  readonly trace: string
  readonly tracePlot: number
  readonly segmentPlot: number
  readonly events: readonly number[]
}

test('segments, memory, trace and plots of a snapshot of ours', async () => {
  const file = path.join(folder, 'own.pickle')
  memory.recordMemoryHistory()
  await using model = await SwinTransformer.create(TINY)
  await using trainer = await LocalTrainer.create(model, { modules: 2 })
  await trainer.step(floatBatch(8))
  const { events } = await memory.dumpSnapshot(file)
  memory.recordMemoryHistory({ enabled: false })
  const views = memoryTool('views', file) as unknown as Views
  assert.equal(views.events, [events])
  for (const lines of [views.segments, views.memory]) {
    assert.ok(lines.some((line) => line.includes('network:0:weights: aten::')))
    const bytes = lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    assert.is(
      bytes,
      memory.snapshot().reduce((sum, { totalSize }) => sum + totalSize, 0),
    )
  }
  assert.match(views.segsum, 'total_allocated')
  assert.match(views.trace, 'Device 0')
  assert.ok(views.tracePlot > 1000 && views.segmentPlot > 1000)
})

test('what PyTorch wrote is read, by the code that asked for it', async () => {
  const file = path.join(folder, 'pytorch.pickle')
  const { requested } = memoryTool('record', file) as unknown as { requested: number }
  const { by, isComplete, devices } = await summarizeSnapshot(file)
  assert.is(by, 'pytorch')
  assert.is(isComplete, null)
  assert.is(devices[0]?.peakBytes, requested)
  const modules = devices[0]?.groups.map(({ module }) => module) ?? []
  assert.match(modules.join('\n'), /memory_tools\.py:\d+ record/)
})

// Counters by PyTorch's keys, of every size that is printed in another unit.
function counters(scale: number): Record<string, number> {
  const flat = { ...memory.stats('cpu').flat() }
  for (const [k, key] of Object.keys(flat).entries()) flat[key] = Math.floor(scale * (k + 1))
  return flat
}

test('the table of the counters is PyTorch’s, to the letter', () => {
  const file = path.join(folder, 'counters.json')
  const scales = [0, 1, 700, 5e4, 3.3e6, 1.7e9, 5e12]
  const every = [{ ...memory.stats('cpu').flat() }, ...scales.map(counters)]
  writeFileSync(file, JSON.stringify(every))
  const { texts } = memoryTool('summary', file) as unknown as { texts: readonly string[] }
  for (const [k, flat] of every.entries()) assert.is(memoryTable(flat, 'cuda:0'), texts[k])
})

plain.run()
