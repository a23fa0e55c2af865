// Files from anywhere: those of the corpus, and what comes of them by damage. A reader reads a file or
// refuses it with a LocalformerError, soon, in bounded memory, and leaves nothing behind that it began.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { LocalformerError } from '../../lib/base/errors.js'
import { readConfig } from '../../lib/config/file.js'
import { resolveConfig } from '../../lib/config/resolve.js'
import { cifar100Recipe, readCifar100 } from '../../lib/datasets/cifar100.js'
import { fetchDataset } from '../../lib/datasets/fetch.js'
import { readImage } from '../../lib/datasets/read-image.js'
import { readSvhn } from '../../lib/datasets/svhn.js'
import { installLibtorch } from '../../lib/libtorch/install.js'
import type { LibtorchManifest } from '../../lib/libtorch/manifest.js'
import { summarizeSnapshot } from '../../lib/measure/snapshot-summary.js'
import { writeReport } from '../../lib/report/write-report.js'
import { CheckpointStore } from '../../lib/run-folder/checkpoint-store.js'
import { loadRun } from '../../lib/run-folder/load-run.js'
import type { TrainingState } from '../../lib/train/training-state.js'
import { readCheckpoint } from '../../lib/weights/checkpoint.js'
import { convertWeights } from '../../lib/weights/convert-weights.js'
import { inspectWeights } from '../../lib/weights/inspect-weights.js'
import { cifar100Files } from '../helpers/official-files.js'
import { pickleOf } from '../helpers/pickle-writer.js'
import { writeRun } from '../helpers/run-fixture.js'
import { Chance, type Settings } from './chance.js'
import { KNOWING, mutate } from './mutations.js'
import { Tally } from './tally.js'

const CORPUS = fileURLToPath(new URL('../../../test/faults/corpus', import.meta.url))
/** A file of the corpus takes milliseconds. */
const SLOW_MS = 10_000
/** Above what this process has when it begins. */
const MOST_GROWTH_BYTES = 768 * 2 ** 20

interface Kind {
  /** How often it is taken, against the others. */
  readonly weight: number
  /** Reads a file with everything that reads such files; throws where it is refused. */
  read(file: string, work: string): Promise<void>
}

const MANIFEST: LibtorchManifest = {
  ...{ version: '2.11.0', cudaVersion: '13.0', pythonVersion: '3.12', platforms: [], wheels: [] },
  installedBytes: { cpu: 4096, simulated: 4096, cuda: 4096 },
}

/** What must hold of a file that was read, else a violation. */
class Unmet extends Error {}

function demand(holds: boolean, what: string): void {
  if (!holds) throw new Unmet(what)
}

const KINDS: Readonly<Record<string, Kind>> = {
  safetensors: { weight: 6, read: readSafetensors },
  png: {
    weight: 6,
    async read(file) {
      const { height, width, images } = await readImage(file)
      demand(images.length === 3 * height * width, 'an image has its pixels')
    },
  },
  config: {
    weight: 4,
    async read(file) {
      resolveConfig(await readConfig(file))
      demand(!('polluted' in {}), 'no prototype is changed')
    },
  },
  mat: { weight: 3, read: readMat },
  run: { weight: 2, read: readRunFile },
  checkpoint: { weight: 4, read: readCheckpointFile },
  tar: { weight: 2, read: readTar },
  zip: { weight: 2, read: readZip },
  snapshot: { weight: 4, read: readSnapshotFile },
}

async function readSafetensors(file: string, work: string): Promise<void> {
  const output = path.join(work, 'converted.safetensors')
  const { tensors } = await readCheckpoint(file)
  const info = await inspectWeights(file)
  demand(info.tensors + info.dropped >= Object.keys(tensors).length, 'every tensor is listed')
  for (const { shape, data } of Object.values(tensors)) {
    demand(shape.reduce((a, b) => a * b, 1) === data.length, 'a tensor has its shape')
  }
  // Most are no network, which is told.
  await convertWeights(file, output, { strict: false }).catch(expectRefusal)
  await loadRun(file, 'cpu').then(({ model, classes, mean, std }) => {
    model.dispose()
    demand(
      [...mean, ...std].every(Number.isFinite) && classes.length > 0,
      'a run says its normalisation',
    )
  }, expectRefusal)
  demand(
    (await readdir(work)).every((name) => !name.endsWith('.tmp')),
    'no temporary file stays',
  )
}

async function readSnapshotFile(file: string): Promise<void> {
  const { devices } = await summarizeSnapshot(file)
  for (const { peakBytes, groups } of devices) {
    const sum = groups.reduce((bytes, group) => bytes + group.bytes, 0)
    // Sizes that are no whole numbers, or huge, are added in another order.
    demand(Math.abs(sum - peakBytes) <= 1e-6 * Math.abs(sum), 'groups are the peak')
  }
  demand(!('polluted' in {}), 'no prototype is changed')
}

async function readMat(file: string, work: string): Promise<void> {
  const folder = path.join(work, 'svhn')
  await mkdir(folder, { recursive: true })
  for (const name of ['train_32x32.mat', 'test_32x32.mat']) {
    writeFileSync(path.join(folder, name), readFileSync(file))
  }
  const { train } = await readSvhn(folder)
  demand(train.images.length === 3 * 32 * 32 * train.count, 'a split has its images')
}

/** One file of a run folder is the hostile one, by the name behind the dash. */
async function readRunFile(file: string, work: string): Promise<void> {
  const folder = path.join(work, 'run')
  writeRun(folder, { steps: 12, epochs: 2, modules: 2 })
  const name = path.basename(file).replace(/^(good|bad)-/, '')
  writeFileSync(path.join(folder, name), readFileSync(file))
  await writeReport(folder, { output: path.join(work, 'report.html') })
}

/**
 * One file of the last checkpoint is the hostile one. What goes on is one of the two that were written,
 * to the last bit, or nothing does.
 */
async function readCheckpointFile(file: string, work: string): Promise<void> {
  const [older, newer] = [stateAt(1), stateAt(2)]
  const directory = path.join(work, 'checkpoints')
  const store = new CheckpointStore(directory)
  for (const state of [older, newer]) await store.save(state)
  const name = path.basename(file).replace(/^(good|bad)-/, '')
  writeFileSync(path.join(directory, 'last', name), readFileSync(file))
  const loaded = await new CheckpointStore(directory).load()
  const { weights, tensors, generator, progress } = loaded ?? {}
  const wanted = loaded?.damage === undefined ? newer : older
  const isWhole = isDeepStrictEqual({ weights, tensors, generator, progress }, wanted)
  demand(isWhole, 'a checkpoint that is used is one that was written')
  if (loaded?.damage !== undefined) throw loaded.damage
}

function stateAt(step: number): TrainingState {
  const tensor = (shift: number) => ({
    ...{ shape: [2, 3], data: Float32Array.from({ length: 6 }, (_, k) => step + shift + k / 7) },
  })
  const identity = { model: { classes: 10 }, trainer: {}, training: {}, data: {} }
  return {
    weights: { 'a.weight': tensor(0), 'auxiliary.0.head.fc.bias': tensor(1) },
    tensors: { 'optimizer.0.exp_avg.a.weight': tensor(2) },
    generator: Uint8Array.from({ length: 24 }, (_, k) => k * step),
    progress: {
      ...{ step, epoch: 1, stepInEpoch: step, stage: 'steps', phase: 0, evaluation: null },
      ...{ epochSums: [], pace: { images: step, seconds: step }, best: null },
      ...{ epochsSinceBest: 0, seconds: step },
      ...{ peakAllocatedBytes: 1, frozen: [false], identity: identity as never },
    },
  }
}

async function readTar(file: string, work: string): Promise<void> {
  const files = [...cifar100Files()].map(([name, data]) => ({ name, bytes: data.length }))
  const sums = ['train.bin', 'test.bin'].map((name) => sumOf(name))
  const recipe = cifar100Recipe({
    archive: { url: 'http://127.0.0.1:9/', md5: '' },
    files: files.map((one, k) => ({ ...one, md5: sums[k] ?? '' })),
    neededBytes: 0,
  })
  const root = path.join(work, 'datasets')
  const { directory } = await fetchDataset(recipe, { root, from: file }).catch(async (error) => {
    demand((await readdir(root)).length === 0, 'what was refused leaves nothing behind')
    throw error
  })
  demand((await readCifar100(directory)).train.count === 7, 'a data set has its images')
}

async function readZip(file: string, work: string): Promise<void> {
  const cache = path.join(work, 'cache')
  await installLibtorch({ from: file, cache, manifest: MANIFEST }).catch(async (error) => {
    const left = await readdir(path.join(cache, 'libtorch')).catch(() => [])
    demand(left.length === 0, `what was refused leaves nothing behind: ${left}`)
    throw error
  })
}

function expectRefusal(error: unknown): void {
  if (!(error instanceof LocalformerError)) throw error
}

interface Sample {
  readonly kind: string
  readonly name: string
  readonly bytes: Buffer
}

export async function failFiles(
  _length: 'short' | 'long',
  say: (line: string) => void,
  settings: Settings,
): Promise<Tally> {
  const [tally, chance] = [new Tally(), new Chance(settings)]
  const folder = await mkdtemp(path.join(tmpdir(), 'localformer-faults-files-'))
  const begun = process.memoryUsage().rss
  try {
    const samples = [
      ...corpus(),
      ...runSamples(folder),
      ...snapshotSamples(),
      ...(await checkpointSamples(folder)),
    ]
    for (const sample of samples) {
      const isRead = await tryFile(tally, chance, folder, sample, sample.bytes)
      if (isRead === sample.name.startsWith('good')) continue
      const what = isRead ? 'was read, and is bad' : 'was refused, and is good'
      chance.violation(tally, `${sample.kind}/${sample.name}`, what)
    }
    say(`${samples.length} files of the corpus`)
    const choices = samples.flatMap((sample) =>
      Array.from({ length: KINDS[sample.kind]?.weight ?? 1 }, () => sample),
    )
    while (chance.goesOn) {
      const sample = chance.pick(choices)
      const alike = samples.filter(({ kind }) => kind === sample.kind)
      const change = chance.below(2) === 0 ? mutate : (KNOWING[sample.kind] ?? mutate)
      const bytes = change(sample.bytes, chance.pick(alike).bytes, chance)
      await tryFile(tally, chance, folder, sample, bytes)
    }
    const grown = process.resourceUsage().maxRSS * 1024 - begun
    tally.count('MiB of memory at most, above the beginning', Math.round(grown / 2 ** 20))
    if (grown > MOST_GROWTH_BYTES)
      tally.fail('memory', `grew by ${Math.round(grown / 2 ** 20)} MiB`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return tally
}

/** Whether a file was read; what must not happen is a violation. */
async function tryFile(
  tally: Tally,
  chance: Chance,
  folder: string,
  { kind, name }: Sample,
  bytes: Buffer,
): Promise<boolean> {
  const work = path.join(folder, 'work')
  rmSync(work, { recursive: true, force: true })
  await mkdir(work)
  const file = path.join(folder, name)
  writeFileSync(file, bytes)
  tally.count('files')
  tally.count(`  of kind ${kind}`)
  const began = performance.now()
  try {
    await KINDS[kind]?.read(file, work)
    tally.count('files that were read')
    return true
  } catch (error) {
    if (error instanceof LocalformerError) tally.count('files that were refused')
    else {
      const { message, stack } = error as Error
      const place = stack?.split('\n').find((line) => line.includes('/lib/')) ?? ''
      const shown = bytes.length <= 600 ? `, base64 ${bytes.toString('base64')}` : ''
      const where = `${kind}/${name}${shown}`
      chance.violation(
        tally,
        where,
        `${message} ${place.trim()}`,
        `${kind} ${place}${message.slice(0, 40)}`,
      )
    }
    return false
  } finally {
    const took = performance.now() - began
    if (took > SLOW_MS) chance.violation(tally, `${kind}/${name}`, `took ${Math.round(took)} ms`)
    rmSync(file, { force: true })
  }
}

function corpus(): Sample[] {
  return readdirSync(CORPUS).flatMap((kind) =>
    readdirSync(path.join(CORPUS, kind)).map((name) => ({
      ...{ kind, name, bytes: readFileSync(path.join(CORPUS, kind, name)) },
    })),
  )
}

/** Files of a run folder, which a report reads. */
function runSamples(folder: string): Sample[] {
  const run = path.join(folder, 'sample')
  writeRun(run, { steps: 12, epochs: 2, modules: 2 })
  return ['config.json', 'events.jsonl', 'timeline.json', 'reconstructions.json'].map((name) => ({
    ...{ kind: 'run', name: `good-${name}`, bytes: readFileSync(path.join(run, name)) },
  }))
}

function snapshotSamples(): Sample[] {
  const frames = [{ filename: 'module 1 (paper:2)', name: 'backward: aten::mm', line: 0 }]
  const block = { address: 4096, size: 512, requested_size: 500, state: 'active_allocated', frames }
  const event = { addr: 4096, size: 500, stream: 0, time_us: 5, frames }
  const document = {
    segments: [{ device: 0, address: 4096, total_size: 512, blocks: [block] }],
    device_traces: [
      [
        { ...event, action: 'alloc' },
        { ...event, action: 'alloc', addr: 9000 },
        { ...event, action: 'free_completed', addr: 9000 },
      ],
    ],
    localformer: { schema: 1, is_complete: true },
  }
  const [kind, { localformer: _, ...theirs }] = ['snapshot', document]
  return [
    { kind, name: 'good-own.pickle', bytes: pickleOf(document) },
    { kind, name: 'good-pytorch.pickle', bytes: pickleOf(theirs) },
    { kind, name: 'bad-call.pickle', bytes: Buffer.from('\x80\x02cos\nsystem\n.', 'latin1') },
  ]
}

async function checkpointSamples(folder: string): Promise<Sample[]> {
  const directory = path.join(folder, 'kept')
  await new CheckpointStore(directory).save(stateAt(2))
  return readdirSync(path.join(directory, 'last')).map((name) => ({
    kind: 'checkpoint',
    ...{ name: `good-${name}`, bytes: readFileSync(path.join(directory, 'last', name)) },
  }))
}

function sumOf(name: string): string {
  const data = cifar100Files().get(name)
  return createHash('md5')
    .update(data ?? '')
    .digest('hex')
}
