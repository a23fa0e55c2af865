// `npm run verify:gpu [-- --device D] [-- --output FILE] [-- --quick]`: the items of `localformer doctor
// --gpu`, and those that need the checkout: all GPU tests, and the same step in Python's torch.
// One table, one JSON (--json, --output FILE); exit code 1 where anything failed.
import path from 'node:path'
import { parseArgs } from 'node:util'
import { formatBytes } from '../lib/base/format.js'
import { formatGpuReport } from '../lib/cli/gpu-text.js'
import { checkOutputFile, writeOutputFile } from '../lib/cli/output-file.js'
import { createProgress } from '../lib/cli/progress.js'
import { checkDeviceName } from '../lib/device/device.js'
import { checkGpu } from '../lib/doctor/gpu/check-gpu.js'
import type { Outcome } from '../lib/doctor/gpu/item.js'
import { ITEMS, type Item, type ItemContext } from '../lib/doctor/gpu/items.js'
import type { CompareResult } from '../lib/measure/compare.js'
import { isEntryPoint, ROOT, runScript } from './lib/script.js'
import { killAll, runProcess } from './lib/test-process.js'
import type { Ended } from './lib/test-results.js'

const GPU_TESTS: Item = {
  ...{ id: 'gpu-tests', title: 'all GPU tests', on: ['gpu'], limitSeconds: 180 },
  run: async ({ limitSeconds }) => {
    const ended = await node(['scripts/test.js', 'gpu/'], limitSeconds)
    return testsOutcome(ended)
  },
}

const PYTHON: Item = {
  ...{ id: 'python', title: "the same step in Python's torch", on: ['gpu'], limitSeconds: 120 },
  run: pythonOutcome,
}

/** By worth: the tests after what is said of the card, Python's figures after ours. */
export function itemsWithCheckout(items: readonly Item[] = ITEMS): readonly Item[] {
  return items.flatMap((item) => {
    if (item.id === 'context') return [item, GPU_TESTS]
    return item.id === 'memory-table' ? [item, PYTHON] : [item]
  })
}

/** By the test runner's last line, `N passed, N failed, N skipped`. */
export function testsOutcome(ended: Pick<Ended, 'code' | 'timedOutAfter' | 'output'>): Outcome {
  const last = ended.output.trim().split('\n').at(-1) ?? ''
  const [, passed, failed] = /^(\d+) passed, (\d+) failed, \d+ skipped$/.exec(last) ?? []
  const details = { output: ended.output.slice(-20_000) }
  if (ended.timedOutAfter !== undefined) {
    const summary = `not over within ${Math.round(ended.timedOutAfter)} s`
    return { status: 'fail', summary, details }
  }
  if (passed === undefined) {
    return { status: 'fail', summary: `the test runner ended with code ${ended.code}`, details }
  }
  // On a GPU a run in which nothing passed has tested nothing.
  const isRight = ended.code === 0 && failed === '0' && passed !== '0'
  return { status: isRight ? 'ok' : 'fail', summary: last, details }
}

interface PythonStep {
  readonly left?: string
  readonly torch?: string
  readonly timm?: string
  readonly outOfMemory?: boolean
  readonly peakAllocatedBytes?: number
  readonly stepSeconds?: number
}

async function pythonOutcome({ device, limitSeconds }: ItemContext): Promise<Outcome> {
  const batchSize = 32
  const begin = performance.now()
  const script = path.join(ROOT, 'test', 'bench', 'torch_step.py')
  const python = await runProcess('python3', [script, `${batchSize}`, device.name], {
    ...{ cwd: ROOT, timeoutSeconds: limitSeconds },
  })
  const theirs = lastJson(python.output) as PythonStep | undefined
  if (theirs?.left !== undefined) return { status: 'left', summary: theirs.left, details: null }
  if (theirs === undefined) {
    const last = python.output.trim().split('\n').at(-1) ?? ''
    const summary = `python3 ended with code ${python.code} (${last})`
    return { status: 'fail', summary, details: { output: python.output.slice(-2000) } }
  }
  const left = limitSeconds - (performance.now() - begin) / 1000
  const compare = [
    ...['lib/cli/main.js', 'compare', '--json', '--quiet', '--run', 'backprop'],
    ...['--dataset', 'synthetic', '--image-size', '224', '--batch-size', `${batchSize}`],
    ...['--warmup', '3', '--steps', '10', '--device', device.name],
  ]
  const ours = lastJson((await node(compare, left)).output) as CompareResult | undefined
  const row = ours?.rows[0]
  if (row === undefined) return { status: 'fail', summary: 'our own step failed', details: theirs }
  const text = (bytes?: number | null, seconds?: number | null) =>
    bytes == null || seconds == null
      ? 'out of memory'
      : `${formatBytes(bytes)}, ${(seconds * 1000).toFixed(0)} ms`
  const mine = text(row.peakAllocatedBytes, row.stepSeconds?.median)
  const summary =
    `batch ${batchSize}: timm ${theirs.timm} on torch ${theirs.torch} ` +
    `${text(theirs.peakAllocatedBytes, theirs.stepSeconds)}; backprop here ${mine}`
  return { status: 'ok', summary, details: { batchSize, theirs, ours: row } }
}

/** A script of `dist`, in a process group of its own. */
function node(args: readonly string[], timeoutSeconds: number) {
  const [script = '', ...rest] = args
  const file = path.join(ROOT, 'dist', script)
  return runProcess(process.execPath, [file, ...rest], { cwd: ROOT, timeoutSeconds })
}

/** The JSON document at the end of an output; undefined where there is none. */
export function lastJson(output: string): unknown {
  for (const part of [
    output,
    output.slice(output.indexOf('{')),
    output.trim().split('\n').at(-1),
  ]) {
    try {
      return JSON.parse(part ?? '')
    } catch {
      // What libraries print may stand before it.
    }
  }
  return undefined
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      device: { type: 'string', default: 'auto' },
      output: { type: 'string' },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
    },
  })
  const { device, output, json, quick } = values
  checkDeviceName(device)
  if (output !== undefined) await checkOutputFile(output)
  const controller = new AbortController()
  process.once('SIGINT', () => {
    controller.abort()
    killAll()
  })
  const progress = createProgress({ quiet: false })
  const report = await checkGpu({
    ...{ device, quick, items: itemsWithCheckout(), signal: controller.signal },
    onProgress: ({ title, done, total }) =>
      progress.update({ label: title, done, total, unit: 'items' }),
  }).finally(() => progress.finish())
  const document = JSON.stringify(report, null, 2)
  process.stdout.write(`${json ? document : formatGpuReport(report)}\n`)
  if (output !== undefined) await writeOutputFile(output, `${document}\n`)
  return report.ok ? 0 : 1
}

if (isEntryPoint(import.meta.url)) await runScript('verify:gpu', main)
