// A training run in which everything that has a state of its own is on, begun in a folder or gone on with
// from where that stands; and what a run has left, as far as no clock decides it.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { syntheticDataset } from '../../lib/datasets/synthetic.js'
import { LocalTrainer } from '../../lib/local/local-trainer.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { loadTorch } from '../../lib/native/load.js'
import { createRun } from '../../lib/runs/create-run.js'
import { resumeRun } from '../../lib/runs/resume-run.js'
import { TINY } from './tiny.js'

export interface Resumable {
  readonly schedule: 'together' | 'sequential'
  readonly seed: number
  /** Of each module where they are trained one after the other. */
  readonly epochs: number
}

/** Trains to the end; `told` hears of every event. */
export async function trainResumable(
  folder: string,
  { schedule, seed, epochs }: Resumable,
  told: () => void = () => undefined,
): Promise<void> {
  loadTorch().setThreads(1)
  const data = syntheticDataset({ trainCount: 40, testCount: 16 })
  await using model = await SwinTransformer.create({ ...TINY, dropPath: 0.3 })
  await using trainer = await LocalTrainer.create(model, {
    ...{ modules: 4, dtype: 'bfloat16', sample: 0.5, accumulate: 2, labelSmoothing: 0.1 },
    perModule: [null, { optimizer: 'sgd' }],
  })
  const options = {
    ...{ schedule, epochs, batchSize: 8, learningRate: 3e-3, clipNorm: 1, ema: 0.5, seed },
    checkpointSteps: 2,
  }
  const isBegun = existsSync(path.join(folder, 'config.json'))
  await using run = isBegun
    ? await resumeRun(folder, { trainer, data, options })
    : await createRun({ trainer, data, options }, { directory: folder })
  for await (const _ of run.events()) told()
}

/** How long things took, and where memory stood meanwhile. */
const OF_CLOCK = new Set([
  ...['seconds', 'waitSeconds', 'imagesPerSecond', 'timeline', 'peakReservedBytes'],
  ...['peakAllocatedBytes', 'allocatedBytesAfter'],
])
const WHOLE_FILES = ['last/weights', 'last/state', 'best/weights', 'best/state']

/** What a run left: the same for one that was interrupted and one that was not. */
export interface Left {
  /** SHA-256 of weights and state, by the file's name. */
  readonly files: Readonly<Record<string, string>>
  /** Lines of events.jsonl but warnings. */
  readonly events: readonly object[]
  /** First column of metrics.csv. */
  readonly steps: readonly (string | undefined)[]
}

export function leftBy(folder: string): Left {
  const text = (name: string) => readFileSync(path.join(folder, name), 'utf8')
  const files = WHOLE_FILES.map((name) => `checkpoints/${name}.safetensors`)
  return {
    files: Object.fromEntries(
      [...files, 'weights.safetensors'].map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(path.join(folder, name)))
          .digest('hex'),
      ]),
    ),
    events: text('events.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line, (key, value) => (OF_CLOCK.has(key) ? undefined : value)))
      .filter(({ type }) => type !== 'warning'),
    steps: text('metrics.csv')
      .split('\r\n')
      .map((line) => line.split(',')[0]),
  }
}
