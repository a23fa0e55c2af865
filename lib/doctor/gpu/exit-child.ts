// A process of `exits`: begins a step on the device and ends in the middle of it, in the way that its
// first argument names; the others: the share of a step after which, the device, `quick` or `whole`.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { median } from '../../base/median.js'
import { LocalTrainer } from '../../local/local-trainer.js'
import { SwinTransformer } from '../../local/swin-transformer.js'
import type { Way } from './exits.js'
import { batchOf, openDevice, subjectOf } from './subject.js'

const [way = 'exit', share = '0', device = 'cpu', size = 'whole'] = process.argv.slice(2)

const { network, batchSize } = subjectOf({ quick: size === 'quick' })
const { name } = openDevice(device)
const model = await SwinTransformer.create({ ...network, device: name as 'cpu' })
const trainer = await LocalTrainer.create(model, { modules: 4 })
const batch = batchOf(batchSize)

async function step(): Promise<number> {
  const begin = performance.now()
  await trainer.step(batch, { learningRate: 1e-4 })
  return performance.now() - begin
}

/** Milliseconds of a step, once the first ones have made everything ready. */
async function stepTime(): Promise<number> {
  await step()
  return median([await step(), await step(), await step()])
}

/** Whether the step that was begun is still going on, told before anything ends. */
function tell(isOver: boolean): void {
  writeSync(1, isOver ? 'after the step\n' : 'in the step\n')
}

const ENDS: Readonly<Record<Exclude<Way, 'terminate'>, () => void>> = {
  exit: () => process.exit(7),
  interrupt: () => process.kill(process.pid, 'SIGINT'),
  throw: () => {
    throw new Error('thrown on purpose')
  },
}

async function endInStep(end: () => void): Promise<void> {
  const whole = await stepTime()
  let isOver = false
  step().then(() => {
    isOver = true
  })
  setTimeout(() => {
    tell(isOver)
    end()
  }, Number(share) * whole)
}

/** Ends a worker in the middle of its step, and goes on itself. */
async function terminate(): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
  const whole = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  await new Promise((resolve) => setTimeout(resolve, Number(share) * whole))
  tell(false)
  await worker.terminate()
  await step()
}

if (!isMainThread) {
  parentPort?.postMessage(await stepTime())
  // One after the other, until it is ended: it is always in one.
  while (true) await step()
} else if (way === 'terminate') await terminate()
else await endInStep(ENDS[way as Exclude<Way, 'terminate'>])
