// Run folders as `train` leaves them, made up: a run of any length with losses that fall, a memory
// timeline, reconstructions and, where asked for, hostile text everywhere.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { PNG } from 'pngjs'

export interface RunFixture {
  readonly steps?: number
  readonly epochs?: number
  readonly modules?: number
  readonly spec?: string
  /** End-to-end training was measured too. */
  readonly isMeasured?: boolean
  /** By so many processes, which have modules each; default: one. */
  readonly ranks?: number
  /** In the names of classes, the spec, the configuration and its keys. */
  readonly text?: string
}

const MIB = 1024 ** 2
const PHASES = ['forward', 'losses', 'backward', 'update']

export function writeRun(directory: string, fixture: RunFixture = {}): void {
  const { steps = 240, epochs = 6, modules = 4, text = '', isMeasured = true } = fixture
  const spec = `${fixture.spec ?? `paper:${modules}`}${text}`
  mkdirSync(directory, { recursive: true })
  const write = (name: string, content: string) =>
    writeFileSync(path.join(directory, name), content)
  const json = (name: string, value: unknown) => write(name, `${JSON.stringify(value)}\n`)
  json('config.json', {
    schema: 1,
    run: spec,
    dataset: `cifar10${text}`,
    model: { variant: 'tiny', imageSize: 32, classes: 10, depths: [2, 2, 6, 2] },
    training: { batchSize: 128, epochs, learningRate: 1e-3, [`key${text}`]: text },
  })
  const events = eventsOf(steps, epochs, modules)
  if (fixture.ranks !== undefined) {
    Object.assign(events.at(-1) as object, { ranks: ranksOf(fixture.ranks, modules, text) })
  }
  write('events.jsonl', events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  json('summary.json', { schema: 1, run: spec, steps })
  mkdirSync(path.join(directory, 'checkpoints', 'last'), { recursive: true })
  const surroundings = { libtorch: `2.11.0${text}`, threads: '2' }
  json(path.join('checkpoints', 'last', 'state.json'), { state: { surroundings } })
  if (isMeasured) {
    json('timeline.json', {
      schema: 1,
      timelines: [
        { spec: 'backprop', points: timelineOf(1, 900) },
        { spec, points: timelineOf(modules, 420) },
      ],
    })
  }
  json('reconstructions.json', {
    schema: 1,
    epoch: epochs,
    labels: ['airplane', 'automobile', 'bird', 'cat'].map((label) => `${label}${text}`),
    modules: Array.from({ length: modules - 1 }, (_, module) => ({
      module,
      kind: module === 0 ? 'pixels' : 'components',
      height: 32 >> module,
      width: 32 >> module,
      loss: 0.1 * (module + 1),
      relativeError: 0.05 * (module + 1),
      target: [0, 1, 2, 3].map((image) => pictureOf(32 >> module, image, 0)),
      prediction: [0, 1, 2, 3].map((image) => pictureOf(32 >> module, image, 40)),
    })),
  })
}

function ranksOf(count: number, modules: number, text: string): object[] {
  const each = modules / count
  return Array.from({ length: count }, (_, rank) => ({
    rank,
    modules: Array.from({ length: each }, (_, k) => `module ${rank * each + k + 1}${text}`),
    ...{ residentBytes: (100 + rank) * MIB, peakAllocatedBytes: (200 + rank) * MIB },
    ...{ sentBytes: rank === 0 ? 2 ** 30 : 0, receivedBytes: rank === 0 ? 0 : 2 ** 30 },
    ...{ waitSeconds: 25 * rank, seconds: 100 },
  }))
}

export function eventsOf(steps: number, epochs: number, modules: number): object[] {
  const events: object[] = []
  const perEpoch = Math.ceil(steps / epochs)
  for (let step = 1; step <= steps; step++) {
    const epoch = Math.ceil(step / perEpoch)
    const speed = 256 + 20 * noise(step)
    events.push({
      ...{ type: 'step', epoch, activeModule: null, step, totalSteps: steps },
      learningRate: 1e-3 * Math.sin((Math.PI * step) / steps),
      modules: Array.from({ length: modules }, (_, k) => moduleOf(step / steps, k, modules, step)),
      ...{ peakAllocatedBytes: 420 * MIB, peakReservedBytes: 450 * MIB },
      ...{ seconds: 128 / speed, waitSeconds: 0, imagesPerSecond: speed },
      ...(step === 2 ? { timeline: timelineOf(modules, 420) } : {}),
    })
    if (step % perEpoch !== 0 && step !== steps) continue
    const heads = Array.from({ length: modules }, (_, k) => ({
      accuracy: 0.3 + 0.3 * (step / steps) + 0.03 * k,
      loss: 1.9 - step / steps,
    }))
    events.push({
      ...{ type: 'epoch', epoch, epochs, activeModule: null, seconds: 20 },
      modules: heads.map(({ accuracy, loss }, k) => ({
        ...{ labelLoss: loss, reconstructionLoss: k === modules - 1 ? null : 0.2, penalty: null },
        ...{ accuracy, gradientNorm: null, peakAllocatedBytes: 400 * MIB, seconds: 0.1 },
      })),
    })
    events.push({ type: 'evaluation', epoch, count: 10_000, ...heads.at(-1), modules: heads })
  }
  events.push({
    type: 'done',
    steps,
    seconds: steps / 2 + 30,
    imagesPerSecond: 256,
    peakAllocatedBytes: 420 * MIB,
  })
  return events
}

function moduleOf(share: number, k: number, modules: number, step: number) {
  return {
    labelLoss: 2.3 * Math.exp(-share) - 0.08 * k + 0.15 * noise(step * 7 + k),
    reconstructionLoss: k === modules - 1 ? null : 0.9 * Math.exp(-2 * share) + 0.1 * k,
    ...{ penalty: null, gradientNorm: null },
    accuracy: Math.min(1, Math.max(0, 0.1 + 0.5 * share + 0.04 * k + 0.05 * noise(step + k))),
    learned: true,
    peakAllocatedBytes: (420 - 60 * k) * MIB,
    seconds: 0.1,
  }
}

/** -1 to 1, the same for the same step. */
function noise(step: number): number {
  return Math.sin(step * 12.9898) * Math.cos(step * 78.233)
}

/** Memory rises in the forward pass and falls in the backward pass of every module. */
export function timelineOf(modules: number, peakMib: number) {
  const resident = 200
  return Array.from({ length: modules * 80 }, (_, i) => {
    const module = Math.floor(i / 80)
    const place = (i % 80) / 80
    const phase = PHASES[place < 0.4 ? 0 : place < 0.5 ? 1 : place < 0.95 ? 2 : 3]
    const height = place < 0.4 ? place / 0.4 : place < 0.5 ? 1 : Math.max(0, (0.95 - place) / 0.45)
    const top = (peakMib - resident) * (1 - 0.15 * module)
    const allocatedBytes = Math.round((resident + top * height + (i % 2) * 4) * MIB)
    return { seconds: (i * 0.4) / (modules * 80), allocatedBytes, module, phase }
  })
}

function pictureOf(side: number, image: number, blur: number): string {
  const png = new PNG({ width: side, height: side })
  for (let i = 0; i < side * side; i++) {
    const [row, column] = [Math.floor(i / side), i % side]
    png.data.set(
      [(row * 255) / side, (column * 255) / side, (image * 60 + blur) % 256, 255].map(Math.round),
      i * 4,
    )
  }
  return PNG.sync.write(png, { colorType: 2 }).toString('base64')
}
