// Which backend computes which product is measured once for a processor, kept in the cache, shared by
// processes and threads, and part of a run; and measuring leaves no trace.
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { loadTorch } from '../../lib/native/load.js'
import { fixture, run } from '../helpers/child.js'
import { compileLibrary } from '../helpers/compile.js'
import { atMost } from '../helpers/expect.js'
import { setAllProducts } from '../helpers/product-cache.js'
import type { Tuned, TunedJob } from './fixtures/tuned.js'
import type { TunedRun } from './fixtures/tuned-run.js'
import type { WithoutBfloat16 } from './fixtures/without-bfloat16.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-products-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const LIBTORCH = { LOCALFORMER_LIBTORCH: locateLibtorch().root }

/** A cache of its own. */
class Cache {
  readonly folder: string
  readonly environment: Readonly<Record<string, string>>

  constructor(name: string) {
    this.folder = path.join(root, name)
    this.environment = { ...LIBTORCH, LOCALFORMER_CACHE: this.folder }
  }

  get file(): string {
    const folder = path.join(this.folder, 'products')
    const [name, ...others] = readdirSync(folder)
    assert.equal(others, [], 'one file, and nothing half written')
    return path.join(folder, name as string)
  }

  get choices(): Record<string, string> {
    return JSON.parse(readFileSync(this.file, 'utf8')).choices
  }

  /** As the file of this processor, with all of one backend that every kind has. */
  setAll(backend: string, like: Cache): void {
    setAllProducts(this.folder, backend, like.folder)
  }
}

async function child(script: string, cache: Cache, ...args: string[]) {
  const { code, stdout, stderr } = await run([fixture(script), ...args], cache.environment)
  assert.is(code, 0, stderr)
  return { result: JSON.parse(stdout), stderr }
}

async function tuned(cache: Cache, job: TunedJob = {}): Promise<Tuned> {
  const { result, stderr } = await child('tuned', cache, JSON.stringify(job))
  assert.is(stderr, '')
  return result
}

const first = new Cache('first')
let measuring: Tuned

test('the first process measures, the next takes what it found', async () => {
  measuring = await tuned(first)
  assert.ok(measuring.measured > 0)
  assert.is(Object.keys(first.choices).length, measuring.measured)
  const before = readFileSync(first.file, 'utf8')
  const next = await tuned(first)
  assert.is(next.measured, 0)
  assert.equal(next.tuningSeconds, [0, 0])
  assert.is(next.digest, measuring.digest, 'weights')
  assert.is(readFileSync(first.file, 'utf8'), before)
})

test('measuring is in no statistic of memory and in no second of a step', async () => {
  const [cold] = measuring.tuningSeconds as [number, number]
  const [step] = measuring.seconds as [number, number]
  const [module] = measuring.moduleSeconds as [number, number]
  const [waited] = measuring.waited as [number, number]
  assert.ok(cold > 0)
  // Each second is either a step's or measuring's.
  assert.ok(step + cold <= waited, `${step} and ${cold} of ${waited}`)
  assert.is(measuring.tuningSeconds[1], 0)
  assert.ok(module <= step)
  const next = await tuned(first)
  assert.equal(next.peaks, measuring.peaks)
  assert.equal(next.stats, measuring.stats)
})

test('what there is no room to measure in is computed, and measured when there is', async () => {
  const cache = new Cache('tight')
  // Room for the step, and for little beside it.
  const tight = await tuned(cache, { limitBytes: Math.ceil(1.05 * Math.max(...measuring.peaks)) })
  assert.ok(tight.measured < measuring.measured, `${tight.measured} of ${measuring.measured}`)
  const next = await tuned(cache)
  assert.is(tight.measured + next.measured, measuring.measured)
  assert.equal(Object.keys(cache.choices).sort(), Object.keys(first.choices).sort())
})

test('other choices, other last digits', async () => {
  const [mkl, onednn] = [new Cache('mkl'), new Cache('onednn')]
  mkl.setAll('mkl', first)
  onednn.setAll('onednn', first)
  const [one, other] = [await tuned(mkl), await tuned(onednn)]
  assert.is(one.measured + other.measured, 0)
  assert.is.not(one.digest, other.digest)
})

test('a file that is damaged or of another machine is told once, and replaced', async () => {
  const whole = readFileSync(first.file, 'utf8')
  const document = JSON.parse(whole)
  const [product] = Object.keys(document.choices)
  const damages = {
    half: whole.slice(0, whole.length / 2),
    empty: '',
    list: '[]',
    schema: JSON.stringify({ ...document, schema: document.schema + 1 }),
    processor: JSON.stringify({ ...document, processor: 'GenuineIntel 6 85 AVX512' }),
    backend: JSON.stringify({ ...document, choices: { [product as string]: 'cublas' } }),
    product: JSON.stringify({ ...document, choices: { 'forward float32': 'mkl' } }),
  }
  for (const [name, text] of Object.entries(damages)) {
    const cache = new Cache(`damaged-${name}`)
    cache.setAll('mkl', first)
    writeFileSync(cache.file, text)
    const { result, stderr } = await child('tuned', cache)
    assert.is(result.measured, measuring.measured, name)
    assert.is(stderr.split('is ignored').length, 2, `${name}: ${stderr}`)
    assert.equal(Object.keys(cache.choices), Object.keys(first.choices), name)
  }
})

test('a file of another version of this package stays as it is, beside the own one', async () => {
  const cache = new Cache('versions')
  cache.setAll('mkl', first)
  const { file } = cache
  const { schema } = JSON.parse(readFileSync(file, 'utf8'))
  const other = file.replace(`v${schema}.json`, `v${schema + 1}.json`)
  assert.is.not(other, file)
  renameSync(file, other)
  const before = readFileSync(other, 'utf8')
  assert.is((await tuned(cache)).measured, measuring.measured)
  assert.is(readFileSync(other, 'utf8'), before)
  assert.ok(existsSync(file))
})

// Of oneDNN's names of processors: one without AVX-512.
test('without instructions for bfloat16 small products are float32, rounded', async () => {
  const { code, stdout, stderr } = await run([fixture('without-bfloat16')], {
    ...LIBTORCH,
    ONEDNN_MAX_CPU_ISA: 'AVX2',
  })
  assert.is(code, 0, stderr)
  const { backends, tuned: own, mkl, exact } = JSON.parse(stdout) as WithoutBfloat16
  for (const [kind, of] of Object.entries(backends)) assert.equal(of, ['widened'], kind)
  assert.is.not(own.digest, mkl.digest, 'a small network is not left to the default')
  for (const { loss } of [own, mkl]) atMost(Math.abs(loss - exact.loss), 0.02, 'loss')
})

test('a cache that cannot be written is told once, and training goes on', async () => {
  const cache = new Cache('file')
  writeFileSync(cache.folder, '')
  const { result, stderr } = await child('tuned', cache)
  assert.ok(result.measured > 0)
  assert.match(stderr, /LocalformerWarning/)
  assert.is(stderr.split('LOCALFORMER_PRODUCTS').length, 2, stderr)
})

test('processes that measure at once leave one whole file', async () => {
  const cache = new Cache('crowd')
  await Promise.all([tuned(cache), tuned(cache), tuned(cache)])
  assert.equal(Object.keys(cache.choices), Object.keys(first.choices))
  assert.is((await tuned(cache)).measured, 0)
})

test('processes that measure other products at once lose none of each other', async () => {
  const cache = new Cache('others')
  const batches = [4, 8, 16]
  await Promise.all(batches.map((images) => tuned(cache, { images })))
  for (const images of batches) assert.is((await tuned(cache, { images })).measured, 0, `${images}`)
})

test('a file that another process is writing is left to it', async () => {
  const cache = new Cache('held')
  const folder = path.join(cache.folder, 'products')
  mkdirSync(folder, { recursive: true })
  const held = openSync(folder, 'r')
  assert.ok(loadTorch().lockFile(held))
  assert.ok((await tuned(cache)).measured > 0)
  assert.equal(readdirSync(folder), [])
  closeSync(held)
  assert.is((await tuned(cache)).measured, measuring.measured)
  assert.equal(Object.keys(cache.choices), Object.keys(first.choices))
})

test('what cutting a network by time measures is kept, without a step', async () => {
  const cache = new Cache('cut')
  const { measured } = await tuned(cache, { cuts: true })
  assert.ok(measured > 0)
  assert.is(Object.keys(cache.choices).length, measured)
  assert.is((await tuned(cache, { cuts: true })).measured, 0)
})

const { root: libtorch, libraries } = locateLibtorch()
const standIn = compileLibrary('test/faults/convolution/stand_in.cc', [`-I${libtorch}/include`])
const compiled = standIn === undefined ? test.skip : test
if (standIn === undefined) console.log('SKIP: there is no C++ compiler')

// In the third call the first product's way is run again, unless it was too slow for that.
for (const [from, mostChosen] of [
  [1, 0],
  [3, 1],
] as const) {
  compiled(`where a way fails from its call ${from} on nothing is chosen for good`, async () => {
    const cache = new Cache(`failing-${from}`)
    const preloaded = [standIn, libraries.c10, libraries.torchCpu].join(' ')
    const environment = { ...cache.environment, LD_PRELOAD: preloaded, FAILS_FROM: `${from}` }
    const { code, stdout, stderr } = await run([fixture('tuned')], environment)
    assert.is(code, 0, stderr)
    const failing = JSON.parse(stdout) as Tuned
    assert.ok(failing.measured > 0 && failing.measured < measuring.measured, `${failing.measured}`)
    const chosen = Object.keys(cache.choices).filter((product) => product.includes('weight'))
    assert.ok(chosen.length <= mostChosen, chosen.join())
    const next = await tuned(cache)
    assert.is(failing.measured + next.measured, measuring.measured)
    assert.equal(Object.keys(cache.choices).sort(), Object.keys(first.choices).sort())
  })
}

test('threads of a process that measure at once measure once, and agree', async () => {
  const cache = new Cache('threads')
  const { result } = await child('tuned', cache, JSON.stringify({ workers: true }))
  const [one, other] = result as [Tuned, Tuned]
  assert.is(one.digest, other.digest)
  assert.is(Math.max(one.measured, other.measured), measuring.measured)
  assert.is(Object.keys(cache.choices).length, measuring.measured)
})

test('a run that goes on keeps its choices, whatever the cache has by then', async () => {
  const cache = new Cache('run')
  cache.setAll('onednn', first)
  const train = async (name: string, ...stop: string[]): Promise<TunedRun> =>
    (await child('tuned-run', cache, path.join(root, name), ...stop)).result
  const whole = await train('whole')
  const half = await train('half', '2')
  assert.is(half.steps, 2)
  const state = readFileSync(path.join(root, 'half/checkpoints/last/state.json'), 'utf8')
  assert.equal(JSON.parse(state).state.products, cache.choices)
  cache.setAll('mkl', first)
  const resumed = await train('half')
  assert.is(resumed.steps, whole.steps)
  assert.is(resumed.digest, whole.digest)
  const other = await train('other')
  assert.is.not(other.digest, whole.digest, 'the cache would have given other digits')
})

test('a run is evaluated by its choices, whatever the cache has by then', async () => {
  const cache = new Cache('run')
  const evaluated = async (place: string): Promise<{ loss: number; products: object }> =>
    (await child('tuned-run', cache, path.join(root, place), 'evaluate')).result
  const events = readFileSync(path.join(root, 'whole/events.jsonl'), 'utf8').trim().split('\n')
  const own = events.map((line) => JSON.parse(line)).findLast(({ type }) => type === 'evaluation')
  const state = readFileSync(path.join(root, 'whole/checkpoints/last/state.json'), 'utf8')
  const { products } = JSON.parse(state).state
  const [product = ''] = Object.keys(first.choices)
  assert.is.not(cache.choices[product], products[product], 'the cache has others by now')
  for (const place of ['whole', 'whole/checkpoints/last', 'whole/weights.safetensors']) {
    assert.equal(await evaluated(place), { loss: own.loss, products }, place)
  }
})

test('on another processor a run makes choices of its own', async () => {
  const cache = new Cache('moved')
  cache.setAll('mkl', first)
  const folder = path.join(root, 'half')
  for (const checkpoint of ['last', 'previous']) {
    const file = path.join(folder, 'checkpoints', checkpoint, 'state.json')
    const document = JSON.parse(readFileSync(file, 'utf8'))
    document.state.surroundings.processor = 'GenuineIntel 6 1'
    const sha256 = createHash('sha256').update(JSON.stringify(document.state)).digest('hex')
    writeFileSync(file, JSON.stringify({ ...document, sha256 }))
  }
  const evaluated = await child('tuned-run', cache, folder, 'evaluate')
  assert.equal(evaluated.result.products, cache.choices)
  const longer = await child('tuned-run', cache, folder, '', '3')
  assert.match(longer.stderr, /processor was GenuineIntel 6 1/)
  assert.equal(longer.result.products, cache.choices)
})

test.run()
