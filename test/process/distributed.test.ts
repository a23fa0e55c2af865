// Processes that train together against one that trains alone: the same losses and weights, however the
// work is shared; and what becomes of a group that loses a rank.
import type { ChildProcess } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../../lib/measure/rank-group.js'
import { planRanks } from '../../lib/plan/ranks.js'
import { DIST, fixture, runProgram } from '../helpers/child.js'
import { dynamicSymbols } from '../helpers/elf-symbols.js'
import {
  type RankJob,
  type RankReport,
  startRanks,
  trainAlone,
  trainOnRanks,
} from '../helpers/ranks.js'
import { TINY } from '../helpers/tiny.js'

const TRAINING = { batchSize: 8, maxSteps: 6, trainLimit: 32, testLimit: 20, seed: 3 } as const

/** Everything that draws random numbers or looks at a whole batch. */
const RICH: RankJob = {
  run: 'paper:4,sample=0.5,recompute=selective',
  dropPath: 0.3,
  training: { ...TRAINING, epochs: 2, ema: 0.9, clipNorm: 1, mixup: 0.4, erasing: 0.3 },
}

/** Of each step and module what any rank says of it. */
function stepsOf(reports: readonly RankReport[]): (number | null)[][][] {
  const [first] = reports as [RankReport]
  return first.steps.map((modules, step) =>
    modules.map((_, k) =>
      (reports.map(({ steps }) => steps[step]?.[k]).find((of) => of?.[0] !== null) ?? []).slice(),
    ),
  )
}

function assertNear(actual: unknown, wanted: unknown, tolerance: number, where = ''): void {
  if (typeof wanted === 'number' && typeof actual === 'number') {
    const isNear = Math.abs(actual - wanted) <= tolerance * Math.max(1, Math.abs(wanted))
    if (!isNear) assert.unreachable(`${where}: ${actual} instead of ${wanted}`)
  } else if (Array.isArray(wanted)) {
    assert.is((actual as unknown[]).length, wanted.length, where)
    wanted.forEach((of, k) => {
      assertNear((actual as unknown[])[k], of, tolerance, `${where}.${k}`)
    })
  } else if (typeof wanted === 'object' && wanted !== null) {
    for (const [name, of] of Object.entries(wanted)) {
      assertNear((actual as Record<string, unknown>)[name], of, tolerance, `${where}.${name}`)
    }
  } else assert.is(actual, wanted, where)
}

const alone = await trainAlone(RICH)

for (const count of [2, 4]) {
  test(`modules on ${count} ranks: bit for bit as one process`, async () => {
    const reports = await trainOnRanks(count, { ...RICH, parallel: { parallel: 'modules' } })
    assert.equal(stepsOf(reports), alone.steps)
    assert.equal(reports[0]?.epochs, alone.epochs)
    assert.equal(reports[0]?.evaluations, alone.evaluations)
    assert.equal(reports[0]?.weights, alone.weights)
    assert.is(reports[0]?.digest, alone.digest)
  })

  test(`batches shared by ${count} ranks: as one process with the whole batch`, async () => {
    const reports = await trainOnRanks(count, { ...RICH, parallel: { parallel: 'data' } })
    for (const { steps } of reports) assertNear(steps, alone.steps, 1e-5, 'step')
    // The first step has met no update.
    assertNear(reports[0]?.steps[0], alone.steps[0], 1e-6, 'first step')
    assertNear(reports[0]?.evaluations, alone.evaluations, 1e-5, 'evaluation')
    assertNear(reports[0]?.weights, alone.weights, 1e-4, 'weights')
  })
}

test('both at once, two stages of two ranks: as one process', async () => {
  const reports = await trainOnRanks(4, { ...RICH, parallel: { parallel: 'modules', stages: 2 } })
  assertNear(stepsOf(reports), alone.steps, 1e-5, 'step')
  assertNear(reports[0]?.weights, alone.weights, 1e-4, 'weights')
})

test('how far a stage is ahead changes nothing that is learned', async () => {
  for (const inFlight of [0, 3]) {
    const reports = await trainOnRanks(2, {
      ...RICH,
      parallel: { parallel: 'modules', inFlight },
    })
    assert.is(reports[0]?.digest, alone.digest, `${inFlight} in flight`)
  }
})

test('every rank keeps the weights of its own modules alone', async () => {
  const reports = await trainOnRanks(2, { ...RICH, parallel: { parallel: 'modules' } })
  const ranks = reports[0]?.ranks ?? []
  assert.equal(
    ranks.flatMap(({ modules }) => modules),
    ['module 1', 'module 2', 'module 3', 'module 4'],
  )
  const [whole] =
    (await trainOnRanks(2, { ...RICH, parallel: { parallel: 'data' } }))[0]?.ranks ?? []
  const together = ranks.reduce((sum, { residentBytes }) => sum + residentBytes, 0)
  assert.ok(together < 1.1 * (whole?.residentBytes ?? 0), `${together} of ${whole?.residentBytes}`)
})

const PLAIN: RankJob = { run: 'paper:2', training: { ...TRAINING, epochs: 1, testLimit: 0 } }

test('bytes sent are those of features and labels, or of gradients', async () => {
  const [modules] = await trainOnRanks(2, { ...PLAIN, parallel: { parallel: 'modules' } })
  const [first, second] = modules?.ranks ?? []
  const steps = modules?.steps.length ?? 0
  // The first stage ends in a map of 8 x 8 with 16 channels.
  const message = 8 * 8 * 8 * 16 * 4 + 8 * 8 + 16 * 8
  assert.is(first?.sentBytes, steps * message)
  // The next one is always on its way.
  assert.is(second?.receivedBytes, (steps + 1) * message)
})

test('memory and bytes are what planRanks says', async () => {
  const { device: _, classes: __, ...sizes } = TINY
  const model = { ...sizes, depths: [...TINY.depths], heads: [...TINY.heads], dropPath: 0 }
  const planned = await planRanks(
    {
      ...{ run: 'paper:2,recompute=none', dataset: { name: 'synthetic' } },
      ...{ model, optimizer: { labelSmoothing: 0 }, training: { batchSize: TRAINING.batchSize } },
    },
    { ranks: [2], threads: 1 },
  )
  for (const parallel of ['data', 'modules'] as const) {
    const row = planned.find((one) => one.parallel === parallel)
    const job = { ...PLAIN, run: 'paper:2,recompute=none', parallel: { parallel } }
    const [report] = await trainOnRanks(2, job)
    const steps = report?.steps.length ?? 0
    assert.is(report?.ranks[0]?.sentBytes, steps * (row?.perRank[0]?.sentBytes ?? 0), parallel)
    report?.ranks.forEach(({ residentBytes, peakAllocatedBytes }, rank) => {
      const of = row?.perRank[rank]
      assertNear(residentBytes / (of?.residentBytes ?? 0), 1, 0.1, `${parallel} resident ${rank}`)
      assertNear(peakAllocatedBytes / (of?.peakAllocatedBytes ?? 0), 1, 0.1, `${parallel} peak`)
    })
  }
})

test('what a trainer has handed on arrives, though it is disposed of', async () => {
  const { ended } = await startRanks(2, () => [fixture('rank-disposed')])
  const [first, second] = await Promise.all(ended)
  assert.is(first?.code, 0, first?.stderr)
  assert.is(second?.code, 0, second?.stderr)
  assert.is(JSON.parse(second?.stdout ?? '').length, 3)
})

/** Ranks that train for as long as they are let. */
const ENDLESS: RankJob = {
  run: 'paper:2',
  training: { ...TRAINING, maxSteps: 1_000_000, epochs: 1_000_000, testLimit: 0 },
  init: { silenceSeconds: 5 },
}

for (const parallel of ['data', 'modules'] as const) {
  for (const [signal, lost] of [
    ['SIGKILL', 0],
    ['SIGKILL', 1],
    ['SIGSTOP', 0],
    ['SIGSTOP', 1],
  ] as const) {
    test(`${parallel}: ${signal} of rank ${lost} ends the others with its name`, async () => {
      const job = { ...ENDLESS, parallel: { parallel } }
      const { children, ended, stepping } = await startRanks(2, () => [
        fixture('rank'),
        JSON.stringify(job),
      ])
      await stepping
      const victim = children[lost]
      victim?.kill(signal)
      const started = performance.now()
      const other = await ended[1 - lost]
      const seconds = (performance.now() - started) / 1000
      victim?.kill('SIGKILL')
      await ended[lost]
      assert.ok(other?.code !== 0 && other?.code !== null, `${other?.code} ${other?.signal}`)
      assert.ok(seconds < 30, `${seconds} s`)
      const named = lost === 0 ? /rank 0/ : /rank 1/
      assert.match(other?.stderr ?? '', /ERR_DISTRIBUTED/)
      assert.match(other?.stderr ?? '', named)
    })
  }
}

test('ranks that were given different things refuse to begin, and say what differs', async () => {
  const jobs = [PLAIN, { ...PLAIN, training: { ...PLAIN.training, batchSize: 4 } }]
  const { ended } = await startRanks(2, (rank) => [fixture('rank'), JSON.stringify(jobs[rank])])
  for (const { code, stderr } of await Promise.all(ended)) {
    assert.is(code, 1)
    assert.match(
      stderr,
      /The ranks do not agree: training\.batchSize is 4 on rank 1 and 8 on rank 0/,
    )
  }
})

test('what cannot be shared is refused on every rank', async () => {
  const refused = async (count: number, job: RankJob, message: RegExp) => {
    const { ended } = await startRanks(count, () => [fixture('rank'), JSON.stringify(job)])
    for (const { code, stderr } of await Promise.all(ended)) {
      assert.is(code, 1)
      assert.match(stderr, message)
    }
  }
  const modules = { parallel: 'modules' } as const
  await refused(
    3,
    { ...PLAIN, parallel: modules },
    /3 ranks in 3 stages are more than the 2 modules/,
  )
  await refused(3, PLAIN, /A batch of 8 images cannot be shared by 3 ranks/)
  await refused(2, { ...PLAIN, run: 'infopro:2' }, /normalises over the whole batch/)
  const sequential = { ...PLAIN, training: { ...PLAIN.training, schedule: 'sequential' as const } }
  await refused(2, { ...sequential, parallel: modules }, /are not trained one by one/)
})

test('a rank or a port that is taken, an address that does not answer, ranks that do not come', async () => {
  const one = async (environment: Readonly<Record<string, string | undefined>>) => {
    const job = { ...PLAIN, init: { joinSeconds: 2 } }
    const { ended } = await startRanks(
      1,
      () => [fixture('rank'), JSON.stringify(job)],
      () => environment,
    )
    return (await Promise.all(ended))[0]?.stderr ?? ''
  }
  assert.match(
    await one({ WORLD_SIZE: '2' }),
    /Of 2 ranks these did not come to 127\.0\.0\.1:\d+ within 2 s: 1/,
  )
  assert.match(
    await one({ WORLD_SIZE: '2', RANK: '1' }),
    /Rank 1 found no store at 127\.0\.0\.1:\d+ within 2 s: Connection refused/,
  )
  assert.match(await one({ RANK: undefined }), /WORLD_SIZE is set and RANK is not/)
  assert.match(await one({ WORLD_SIZE: '2', RANK: '2' }), /from 0 to 1 for `RANK` but received "2"/)
  const job = { ...PLAIN, init: { joinSeconds: 10 } }
  const twice = await startRanks(
    3,
    () => [fixture('rank'), JSON.stringify(job)],
    (rank) => ({ WORLD_SIZE: '3', RANK: String(Math.min(rank, 1)) }),
  )
  const texts = (await Promise.all(twice.ended)).map(({ stderr }) => stderr)
  assert.ok(texts.some((text) => /Rank 1 is taken/.test(text)))
  const port = String(await freePort())
  const hosts = await startRanks(
    2,
    () => [fixture('rank'), JSON.stringify(job)],
    () => ({ RANK: '0', MASTER_PORT: port }),
  )
  const said = (await Promise.all(hosts.ended)).map(({ stderr }) => stderr)
  assert.ok(said.some((text) => /Port \d+ cannot be taken by rank 0/.test(text)))
})

const root = mkdtempSync(path.join(tmpdir(), 'localformer-ranks-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

/** `localformer train` on ranks; with none a single process. */
async function command(count: number, args: readonly string[]) {
  const all = [path.join(DIST, 'lib/cli/main.js'), 'train', '--quiet', ...args]
  const isAlone = count === 0
  const { children, ended } = await startRanks(
    Math.max(1, count),
    () => all,
    () => (isAlone ? { RANK: undefined, WORLD_SIZE: undefined } : {}),
  )
  return { children, ended: Promise.all(ended) }
}

const NETWORK = ['--dataset', 'synthetic', '--variant', 'micro', '--run', 'paper:3']
const RUN = [...NETWORK, '--batch-size', '16', '--train-limit', '64', '--test-limit', '16']

function weightsOf(folder: string): Buffer {
  return readFileSync(path.join(folder, 'weights.safetensors'))
}

test('a run goes on with any number of ranks, bit for bit where its modules are shared', async () => {
  const whole = path.join(root, 'whole')
  const alone = await command(0, [...RUN, '--epochs', '3', '--run-dir', whole])
  assert.is((await alone.ended)[0]?.code, 0)
  const shared = path.join(root, 'shared')
  const modules = ['--parallel', 'modules']
  for (const [count, epochs] of [
    [2, '1'],
    [0, '2'],
    [3, '3'],
  ] as const) {
    const begins = epochs === '1'
    // The learning rate falls over all epochs, so each part is told of all three and stopped.
    const place = begins ? [...RUN, '--epochs', '3', '--run-dir', shared] : ['--resume', shared]
    const { children, ended } = await command(count, [...place, ...(count > 0 ? modules : [])])
    if (epochs !== '3') await untilEpoch(shared, Number(epochs), children)
    for (const { code, stderr } of await ended) {
      assert.ok(code === 0 || code === 130, `${code}: ${stderr}`)
    }
  }
  assert.ok(weightsOf(shared).equals(weightsOf(whole)))
  const summary = JSON.parse(readFileSync(path.join(shared, 'summary.json'), 'utf8'))
  assert.is(summary.ranks.length, 3)
})

/** Interrupts all ranks once so many epochs are in the log, as Ctrl-C in a terminal does. */
async function untilEpoch(folder: string, epochs: number, children: readonly ChildProcess[]) {
  const file = path.join(folder, 'events.jsonl')
  for (;;) {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    if (text.split('"type":"epoch"').length > epochs) break
    if (children.every(({ exitCode }) => exitCode !== null)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  for (const child of children) child.kill('SIGINT')
}

const TORCHRUN = process.env.PYTHON && path.join(path.dirname(process.env.PYTHON), 'torchrun')
const hasTorchrun = TORCHRUN !== undefined && existsSync(TORCHRUN)
const withTorchrun = hasTorchrun ? test : test.skip

/** Two ranks by torchrun; `restarts` of all of them where one ends badly. */
function torchrun(program: readonly string[], restarts = 0) {
  return runProgram(TORCHRUN ?? '', [
    ...['--no-python', '--nproc-per-node', '2', '--standalone', '--max-restarts', `${restarts}`],
    // Else it takes `--run` for an abbreviation of an option of its own.
    ...['--', process.execPath, ...program],
  ])
}

withTorchrun('torchrun starts the command as it is', async () => {
  const folder = path.join(root, 'torchrun')
  const train = [path.join(DIST, 'lib/cli/main.js'), 'train', '--quiet']
  const begun = await torchrun([...train, ...RUN, '--epochs', '1', '--run-dir', folder])
  assert.is(begun.code, 0, begun.stderr)
  const more = ['--resume', folder, '--epochs', '2', '--parallel', 'modules']
  const again = await torchrun([...train, ...more])
  assert.is(again.code, 0, again.stderr)
})

withTorchrun('and again where a rank was killed, from the last checkpoint', async () => {
  const folder = path.join(root, 'restarted')
  const begun = await command(0, [...RUN, '--epochs', '1', '--run-dir', folder])
  assert.is((await begun.ended)[0]?.code, 0)
  const whole = path.join(root, 'not-restarted')
  cpSync(folder, whole, { recursive: true })
  const more = ['--epochs', '40', '--resume']
  const train = ['train', '--quiet', '--parallel', 'modules', ...more, folder]
  const restarted = await torchrun([fixture('dying-rank'), folder, ...train], 1)
  assert.is(restarted.code, 0, restarted.stderr)
  assert.ok(existsSync(path.join(folder, 'killed')), 'a rank was killed')
  const alone = await command(0, [...more, whole])
  assert.is((await alone.ended)[0]?.code, 0)
  assert.ok(weightsOf(folder).equals(weightsOf(whole)))
})

test('nothing of ours exports what belongs to Gloo', () => {
  const ours = path.join(DIST, '../build/Release/liblocalformer_torch.so')
  const defined = dynamicSymbols(ours).filter(({ isDefined }) => isDefined)
  assert.equal(
    defined.map(({ name }) => name).filter((name) => /gloo|Gloo/.test(name)),
    [],
  )
})

test.run()
