// `npm start`: sets everything up, then does the main job with the package's own commands: measures
// end-to-end training against local learning, and trains by local learning for a few steps.
// What is done already is skipped; all of it is kept in runs/start.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { formatComparison } from '../lib/cli/commands/compare.js'
import type { CompareResult } from '../lib/measure/compare.js'
import { buildNative } from './build-native.js'
import { isEntryPoint, ROOT, runScript, ScriptError } from './lib/script.js'

const FOLDER = path.join('runs', 'start')
const COMPARISON = path.join(FOLDER, 'compare.json')
const CLI = path.join(ROOT, 'dist', 'lib', 'cli', 'main.js')

const COMPARE = [
  ...['compare', '--run', 'backprop', '--run', 'paper:2', '--run', 'paper:4'],
  ...['--dataset', 'cifar10', '--image-size', '224', '--batch-size', '32'],
  ...['--steps', '2', '--output', COMPARISON],
]
const TRAIN = [
  ...['train', '--run', 'paper:4', '--dataset', 'cifar10', '--image-size', '32'],
  ...['--batch-size', '128', '--max-steps', '60', '--test-limit', '2000', '--run-dir', FOLDER],
]

async function start(): Promise<void> {
  heading('1. LibTorch and the native addon')
  const { upToDate } = await buildNative()
  print(upToDate ? 'Built already.' : 'Built.')
  heading('2. CIFAR-10')
  await localformer(['dataset', 'fetch', 'cifar10'])
  heading('3. Memory: end to end against local learning')
  await measure()
  heading('4. Training by local learning, 4 modules')
  await trainShortly()
  print(`\nEverything is kept in ${FOLDER}; delete it to measure and train again.`)
  print('Next: npx localformer --help')
}

async function measure(): Promise<void> {
  const kept = readJson(COMPARISON) as CompareResult | undefined
  if (kept) {
    print(`Measured already (${COMPARISON}):\n`)
    print(formatComparison(kept))
    return
  }
  mkdirSync(path.join(ROOT, FOLDER), { recursive: true })
  await localformer(COMPARE)
}

async function trainShortly(): Promise<void> {
  const kept = readJson(path.join(FOLDER, 'summary.json')) as
    | { steps: number; evaluation: { accuracy: number } | null }
    | undefined
  if (!kept) return localformer(TRAIN)
  const accuracy = (100 * (kept.evaluation?.accuracy ?? 0)).toFixed(1)
  print(`Trained already: ${kept.steps} steps, test accuracy ${accuracy} %.`)
}

/** Runs one of the package's commands as the user would. */
function localformer(args: readonly string[]): Promise<void> {
  print(`$ npx localformer ${args.join(' ')}`)
  const child = spawn(process.execPath, [CLI, ...args], { cwd: ROOT, stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve()
      else
        reject(
          new ScriptError(`localformer ${args[0]} ended with ${signal ?? `exit code ${code}`}`),
        )
    })
  })
}

function readJson(file: string): unknown {
  const place = path.join(ROOT, file)
  return existsSync(place) ? JSON.parse(readFileSync(place, 'utf8')) : undefined
}

function heading(text: string): void {
  print(`\n${text}\n${'-'.repeat(text.length)}`)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

if (isEntryPoint(import.meta.url)) {
  await runScript('start', async () => {
    await start()
    return 0
  })
}
