// What our processes share: the network, the trainer, and what a process says of itself at its end.
import { readFileSync, writeFileSync } from 'node:fs'
import { packageVersion } from '../../../lib/base/version.js'
import { getThreads } from '../../../lib/device/threads.js'
import { parseRunSpec } from '../../../lib/local/run-spec.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import type { Trainer } from '../../../lib/local/trainer.js'
import { createTrainer } from '../../../lib/local/trainer-of-spec.js'
import { loadTorch } from '../../../lib/native/load.js'
import type { Figures, OwnWork, Request, Shape } from './contender.js'

/** Of every contender; small, so that a few steps cannot diverge. */
export const LEARNING_RATE = 1e-4

export function createModel({ imageSize, windowSize }: Shape): Promise<SwinTransformer> {
  return SwinTransformer.create({
    ...{ variant: 'tiny', imageSize, windowSize, classes: 10, device: 'cpu', seed: 0 },
  })
}

export function createTrainerOf(
  model: SwinTransformer,
  { spec, batchSize }: OwnWork & Shape,
): Promise<Trainer> {
  return createTrainer(model, parseRunSpec(spec), {}, batchSize)
}

/** Does a program's work; an error is its last line, which the benchmark tells, and exit code 1. */
export async function runOwn(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${message.replaceAll('\n', ' ')}\n`)
    process.exitCode = 1
  }
}

/** What is collected of each step. */
export interface StepRecord {
  readonly seconds: number
  readonly loss: number
  readonly peakAllocatedBytes: number
  /** What choosing products took of the step. */
  readonly tuningSeconds: number
}

export function writeAnswer({ answer, warmup }: Request, records: readonly StepRecord[]): void {
  const document: Figures = {
    firstStepSeconds: records[0]?.seconds ?? null,
    stepSeconds: records.slice(warmup).map(({ seconds }) => seconds),
    losses: records.map(({ loss }) => loss),
    tuningSeconds: records.reduce((sum, record) => sum + record.tuningSeconds, 0),
    peakAllocatedBytes: Math.max(...records.map((record) => record.peakAllocatedBytes)),
    peakRssBytes: peakRssBytes(),
    threads: getThreads(),
    versions: {
      ...{ localformer: packageVersion(), libtorch: loadTorch().versions().libtorch },
      node: process.versions.node,
    },
  }
  writeFileSync(answer, JSON.stringify(document))
}

/** Of this program alone: `getrusage` would begin with what the starting process took. */
function peakRssBytes(): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kibibytes) * 1024
}

/** The values of a file as `own-inputs` writes them. */
export function readBytes(file: string): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = readFileSync(file)
  return (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength)
}
