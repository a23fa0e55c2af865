// Run folder -> report: what is gathered, how it is thinned, that nothing of a run becomes markup.
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { writeReport } from '../../../lib/index.js'
import { escapeHtml } from '../../../lib/report/html.js'
import { readRun } from '../../../lib/report/run-data.js'
import { formatDuration, formatNumber, scaleOf, tightScale } from '../../../lib/report/scale.js'
import { Series } from '../../../lib/report/series.js'
import { rejects } from '../../helpers/expect.js'
import { eventsOf, writeRun } from '../../helpers/run-fixture.js'

const folder = mkdtempSync(path.join(tmpdir(), 'localformer-report-'))
let count = 0

test.after(() => rmSync(folder, { recursive: true, force: true }))

function runFolder(fixture: Parameters<typeof writeRun>[1] = {}): string {
  const directory = path.join(folder, `run-${++count}`)
  writeRun(directory, fixture)
  return directory
}

const html = async (directory: string) => readFileSync(await writeReport(directory), 'utf8')

test('a short series keeps every value, a long one its mean and every extreme', () => {
  const short = new Series(10)
  for (let x = 1; x <= 10; x++) short.add(x, x * x)
  assert.is(short.buckets.length, 10)
  const fourth = { from: 4, to: 4, min: 16, max: 16, mean: 16, count: 1, weight: 1 }
  assert.equal(short.buckets[3], fourth)

  const long = new Series(100)
  let sum = 0
  for (let x = 1; x <= 100_003; x++) {
    const y = x === 77_777 ? 1e6 : x === 12_345 ? -1e6 : Math.sin(x)
    long.add(x, y)
    sum += y
  }
  const { buckets } = long
  assert.ok(buckets.length >= 50 && buckets.length <= 100)
  assert.is(Math.max(...buckets.map(({ max }) => max)), 1e6)
  assert.is(Math.min(...buckets.map(({ min }) => min)), -1e6)
  // Nothing is lost or counted twice, and they join.
  assert.is(
    buckets.reduce((all, bucket) => all + bucket.count, 0),
    100_003,
  )
  const mean = buckets.reduce((all, bucket) => all + bucket.mean * bucket.count, 0)
  assert.ok(Math.abs(mean - sum) < 1e-6)
  assert.is(buckets[0]?.from, 1)
  assert.is(buckets.at(-1)?.to, 100_003)
  buckets.slice(1).forEach(({ from }, i) => {
    assert.is(from, (buckets[i]?.to ?? 0) + 1)
  })
})

test('what is no number is left out of a series', () => {
  const series = new Series()
  for (const y of [Number.NaN, 1, Number.POSITIVE_INFINITY]) series.add(1, y)
  assert.is(series.buckets.length, 1)
})

test('ticks are round and the scale holds the values', () => {
  assert.equal(
    scaleOf([0.12, 0.87], { zero: true }).ticks.map((t) => t.toFixed(1)),
    ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0'],
  )
  const bytes = scaleOf([3.7 * 2 ** 30], { zero: true, unit: 2 ** 30 })
  assert.equal(
    bytes.ticks.map((tick) => tick / 2 ** 30),
    [0, 1, 2, 3, 4],
  )
  assert.equal(tightScale(1, 6, 5, true).ticks, [1, 2, 3, 4, 5, 6])
  assert.equal(scaleOf([]).ticks.length > 0, true)
  for (const value of [0, 5, -3]) {
    const { min, max } = scaleOf([value])
    assert.ok(min <= value && value <= max && min < max, `${value}`)
  }
})

test('numbers read well', () => {
  assert.equal(
    [1234, 0.5, 0.01234, 12.345, 1e-5, Number.NaN].map((v) => formatNumber(v)),
    ['1,234', '0.5', '0.0123', '12.3', '1.0e-5', '–'],
  )
  assert.equal([3.21, 42, 200, 7501].map(formatDuration), [
    '3.2 s',
    '42 s',
    '3 min 20 s',
    '2 h 5 min',
  ])
})

test('text is escaped, control characters are replaced', () => {
  assert.is(
    escapeHtml(`<a href="x" title='y'>&`),
    '&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;',
  )
  assert.is(escapeHtml('a\u0000b\u001bc\nd'), 'a\ufffdb\ufffdc\nd')
})

test('a run folder is gathered', async () => {
  const run = await readRun(runFolder({ steps: 240, epochs: 6 }))
  assert.is(run.spec, 'paper:4')
  assert.is(run.dataset, 'cifar10')
  assert.is(run.isDone, true)
  assert.is(run.steps, 240)
  assert.is(run.seconds, 150)
  assert.is(run.epochs.length, 6)
  assert.is(run.evaluations.length, 6)
  assert.is(run.modules.length, 4)
  assert.is(run.modules[3]?.reconstructionLoss.length, 0)
  assert.ok((run.modules[0]?.reconstructionLoss.length ?? 0) > 40)
  assert.equal(
    run.timelines.map(({ spec, isFresh }) => [spec, isFresh]),
    [
      ['backprop', true],
      ['paper:4', true],
    ],
  )
  assert.is(run.reconstructions?.panels.length, 3)
  assert.equal(run.surroundings, { libtorch: '2.11.0', threads: '2' })
  assert.is(run.peakAllocatedBytes, 420 * 1024 ** 2)
})

test("without a measurement the run's own step is shown", async () => {
  const run = await readRun(runFolder({ isMeasured: false }))
  assert.equal(
    run.timelines.map(({ spec, isFresh }) => [spec, isFresh]),
    [['paper:4', false]],
  )
  assert.match(await html(run.directory), 'localformer report RUN --timeline')
})

test('a run that goes on or was killed is shown as far as it is', async () => {
  const directory = path.join(folder, 'killed')
  mkdirSync(directory)
  const events = eventsOf(100, 2, 4).slice(0, 60)
  writeFileSync(
    path.join(directory, 'events.jsonl'),
    events.map((event) => `${JSON.stringify(event)}\n`).join(''),
  )
  appendFileSync(path.join(directory, 'events.jsonl'), '{"type":"step","step":61,"modu')
  const run = await readRun(directory)
  assert.is(run.isDone, false)
  // 60 lines are 58 steps, an epoch and an evaluation.
  assert.is(run.steps, 58)
  assert.match(await html(directory), 'not finished')
})

test('throughput is images over time, not a mean of rates', async () => {
  const directory = runFolder({ steps: 2, epochs: 1 })
  // 100 images in 0.1 s, and 100 in 0.5 s after a wait of 0.4 s: 200 in a second.
  const times = [
    { seconds: 0.1, waitSeconds: 0, imagesPerSecond: 1000 },
    { seconds: 0.5, waitSeconds: 0.4, imagesPerSecond: 100 / 0.9 },
  ]
  const told = eventsOf(2, 1, 4)
    .slice(0, 2)
    .map((event, i) => JSON.stringify({ ...event, ...times[i] }))
  writeFileSync(path.join(directory, 'events.jsonl'), `${told.join('\n')}\n`)
  const page = await html(directory)
  assert.match(page, '<dt>Throughput</dt><dd>200 images/s</dd>')
  assert.match(page, '<td>200 images/s</td><td>111 images/s</td><td>1000 images/s</td>')
  const output = path.join(folder, 'throughput.html')
  await writeReport([directory, runFolder()], { output })
  assert.match(readFileSync(output, 'utf8'), '<td>200 images/s</td>')
})

test('steps that a resumed run tells again count once', async () => {
  const directory = runFolder({ steps: 40, epochs: 2, isMeasured: false })
  const events = eventsOf(40, 2, 4)
  const told = [...events.slice(0, 30), ...events.slice(15)]
  writeFileSync(
    path.join(directory, 'events.jsonl'),
    told.map((event) => `${JSON.stringify(event)}\n`).join(''),
  )
  const run = await readRun(directory)
  assert.is(run.steps, 40)
  assert.is(
    run.series.imagesPerSecond.reduce((sum, bucket) => sum + bucket.count, 0),
    40,
  )
  assert.equal(
    run.epochs.map(({ epoch }) => epoch),
    [1, 2],
  )
})

test('a configuration alone, or nonsense in every file, still gives a report', async () => {
  const directory = path.join(folder, 'bare')
  mkdirSync(directory)
  writeFileSync(path.join(directory, 'config.json'), '{"run":"greedy:2"}')
  assert.match(await html(directory), 'greedy:2')
  const nonsense = ['{"type":"step","step":"x","modules":7}', '[1,2]', 'null', '{"type":"step"}']
  const step = '{"type":"step","step":1,"modules":[null,{"labelLoss":"a"}],"timeline":[1,{}]}'
  writeFileSync(
    path.join(directory, 'events.jsonl'),
    [...nonsense, step, '\u0000\u0000'].join('\n'),
  )
  for (const name of ['summary', 'timeline', 'reconstructions']) {
    writeFileSync(
      path.join(directory, `${name}.json`),
      '{"timelines":[{"points":[{}]}],"modules":[{}',
    )
  }
  assert.match(await html(directory), 'greedy:2')
})

test('hostile text stays text', async () => {
  const text = `</td></script><script>alert(1)</script><img src=x onerror=alert(1)>"'&`
  const page = await html(runFolder({ text, ranks: 2 }))
  assert.not.match(page, /<script/i)
  // The one that is meant has its picture in the file.
  for (const [tag] of page.matchAll(/<img[^>]*>/g)) {
    assert.match(tag, /^<img alt="[^"<>]*" src="data:image\/png;base64,[A-Za-z0-9+/=]+">$/)
  }
  assert.match(page, '&lt;script&gt;alert(1)&lt;/script&gt;')
})

test('pictures that are no base64 are left out', async () => {
  const directory = runFolder()
  const file = path.join(directory, 'reconstructions.json')
  const document = JSON.parse(readFileSync(file, 'utf8'))
  document.modules[0].target[0] = 'x" onerror="alert(1)'
  writeFileSync(file, JSON.stringify(document))
  assert.not.match(await html(directory), 'onerror')
})

test('nothing in the file can be fetched, run or sent', async () => {
  const page = await html(runFolder())
  const [, policy = ''] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page) ?? []
  assert.match(policy, /^default-src 'none'; img-src data:; style-src 'sha256-[A-Za-z0-9+/=]+'/)
  assert.not.match(page, /\b(https?:|\/\/|javascript:|@import|url\()/)
  assert.not.match(page, / (style|on[a-z]+)="/)
  // Anchors lead to this page alone.
  for (const [, target = ''] of page.matchAll(/href="([^"]*)"/g)) {
    assert.ok(target.startsWith('#') || target === 'data:,', target)
    if (target.startsWith('#')) assert.match(page, `id="${target.slice(1)}"`)
  }
})

test('a long run makes no larger file than a shorter one', async () => {
  const size = async (steps: number, epochs: number) =>
    statSync(await writeReport(runFolder({ steps, epochs }))).size
  const [short, long] = [await size(2_000, 20), await size(40_000, 20)]
  assert.ok(long < 1.1 * short, `${short} and ${long} bytes`)
  assert.ok(long < 400_000, `${long} bytes`)
})

test('a run of several processes says what each took, others have no such section', async () => {
  const directory = runFolder({ ranks: 2 })
  const { ranks } = await readRun(directory)
  assert.equal(ranks[1], {
    ...{ rank: 1, modules: ['module 3', 'module 4'], residentBytes: 101 * 2 ** 20 },
    ...{ peakAllocatedBytes: 201 * 2 ** 20, sentBytes: 0, receivedBytes: 2 ** 30 },
    waitedShare: 0.25,
  })
  const page = await html(directory)
  assert.match(page, '<section id="ranks"><h2>Ranks</h2>')
  assert.match(
    page,
    '<tr><th scope="row">rank 1</th><td>3, 4</td><td>101 MiB</td><td>201 MiB</td><td>0 B</td><td>1.00 GiB</td><td>25.0 %</td></tr>',
  )
  const alone = runFolder()
  assert.not.match(await html(alone), 'id="ranks"')
  const output = path.join(folder, 'ranks.html')
  await writeReport([directory, alone], { output })
  assert.match(readFileSync(output, 'utf8'), '<th scope="col">ranks</th>')
  // Trained further by one process.
  appendFileSync(
    path.join(directory, 'events.jsonl'),
    `${JSON.stringify({ type: 'step', step: 1000 })}\n`,
  )
  assert.equal((await readRun(directory)).ranks, [])
  const hostile = { type: 'done', ranks: [null, 7, { rank: {}, modules: 3, waitSeconds: 'x' }] }
  appendFileSync(path.join(directory, 'events.jsonl'), `${JSON.stringify(hostile)}\n`)
  assert.is((await readRun(directory)).ranks.length, 3)
  assert.match(await html(directory), '<th scope="row">rank 2</th>')
})

test('several runs are compared in one file', async () => {
  const output = path.join(folder, 'comparison.html')
  const runs = [runFolder({ modules: 1, spec: 'backprop' }), runFolder(), runFolder()]
  assert.is(await writeReport(runs, { output }), output)
  const page = readFileSync(output, 'utf8')
  for (const text of ['3 runs compared', 'backprop', 'paper:4 (run-', 'Test accuracy']) {
    assert.match(page, text)
  }
})

test('it is written whole: no other file is left behind', async () => {
  const directory = runFolder()
  await writeReport(directory)
  await writeReport(directory)
  assert.equal(
    readdirSync(directory).filter((name) => /tmp|report/.test(name)),
    ['report.html'],
  )
})

test('what is no run folder, and a file that cannot be written, are coded errors', async () => {
  await rejects(() => writeReport(path.join(folder, 'nowhere')), 'ERR_CONFIG', 'is no run folder')
  await rejects(() => writeReport([]), 'ERR_CONFIG', 'at least one run folder')
  const output = path.join(folder, 'no', 'such', 'folder', 'report.html')
  await rejects(() => writeReport(runFolder(), { output }), 'ERR_CONFIG', 'cannot be written')
})

test.run()
