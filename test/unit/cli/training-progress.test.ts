// The live line of a training run on terminals of several widths, and plain lines elsewhere.
import { EventEmitter } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createTrainingProgress, sparkline } from '../../../lib/cli/training-progress.js'
import type { TrainEvent } from '../../../lib/index.js'

type StepEvent = TrainEvent & { type: 'step' }

function stepEvent(step: number, changes: Partial<StepEvent> = {}): StepEvent {
  const modules = [0, 1, 2, 3].map((k) => ({
    labelLoss: 2 - step / 100 + k / 10,
    reconstructionLoss: k === 3 ? null : 0.5,
    accuracy: 0.25,
    learned: true,
  }))
  return {
    type: 'step',
    epoch: 2,
    activeModule: null,
    step,
    totalSteps: 100,
    learningRate: 0.00095,
    modules,
    peakAllocatedBytes: 400 * 1024 ** 2,
    peakReservedBytes: 0,
    seconds: 0.5,
    imagesPerSecond: 256,
    ...changes,
  } as unknown as StepEvent
}

class Terminal extends EventEmitter {
  output = ''
  readonly isTTY = true
  columns: number

  constructor(columns: number) {
    super()
    this.columns = columns
  }

  write(text: string): boolean {
    this.output += text
    return true
  }

  /** What was drawn, one after the other. */
  get lines(): string[] {
    return this.output.split('\r\u001b[2K').slice(1)
  }
}

/** Steps of half a second each. */
function drive(terminal: Terminal, steps = 50, settings: { color?: boolean; live?: boolean } = {}) {
  let time = 0
  const progress = createTrainingProgress({
    quiet: false,
    stream: terminal as never,
    live: true,
    color: false,
    now: () => time,
    ...settings,
  })
  for (let step = 1; step <= steps; step++) {
    time += 500
    progress.step(stepEvent(step))
  }
  return progress
}

test('a wide terminal shows everything', () => {
  const terminal = new Terminal(200)
  drive(terminal)
  const line = terminal.lines.at(-1) ?? ''
  for (const text of [
    'epoch 2',
    'step 50/100',
    '50 %',
    'acc 25.0 %',
    '256 images/s',
    'lr 9.5e-4',
    'peak 400 MiB',
    'ETA 0:25',
  ]) {
    assert.match(line, text)
  }
  // The mean that follows the loss lags a little behind; four modules, the last without a decoder.
  assert.match(line, /loss 2\.0\d 2\.1\d 2\.2\d 1\.8\d/)
  assert.is((line.match(/[▁-█]{8}/g) ?? []).length, 4)
})

test('a narrower one drops the least important first and never wraps', () => {
  const dropped = ['lr', '▁', 'peak', 'images/s', 'ETA', 'acc', 'epoch', 'loss', 'step']
  let before = dropped.length
  for (let columns = 220; columns >= 6; columns--) {
    const terminal = new Terminal(columns)
    drive(terminal)
    for (const line of terminal.lines) {
      assert.ok([...line].length < columns, `${[...line].length} in ${columns} columns: ${line}`)
    }
    const line = terminal.lines.at(-1) ?? ''
    const isThere = dropped.map((word) => line.includes(word))
    const missing = isThere.indexOf(true) === -1 ? dropped.length : isThere.indexOf(true)
    // What is kept is a tail of the list, and it only gets shorter.
    assert.ok(isThere.slice(missing).every(Boolean), `${columns}: ${line}`)
    if (columns < 220) assert.ok(missing >= before, `${columns}: ${line}`)
    before = missing
  }
  assert.is(before, dropped.length)
  const tiny = new Terminal(6)
  drive(tiny)
  assert.is(tiny.lines.at(-1), '50 %')
})

test('sparklines are shortened before they go', () => {
  const widths = new Set<number>()
  for (let columns = 80; columns <= 180; columns++) {
    const terminal = new Terminal(columns)
    drive(terminal)
    widths.add((terminal.lines.at(-1)?.match(/[▁-█]+/) ?? [''])[0].length)
  }
  assert.equal([...widths].sort(), [0, 3, 5, 8])
})

test('a resize is drawn at once in the new width', () => {
  const terminal = new Terminal(200)
  const progress = drive(terminal)
  const drawn = terminal.lines.length
  terminal.columns = 40
  terminal.emit('resize')
  assert.is(terminal.lines.length, drawn + 1)
  assert.ok((terminal.lines.at(-1) ?? '').length < 40)
  progress.finish()
  assert.is(terminal.listenerCount('resize'), 0)
})

test('steps that come fast are not all drawn, the last one is', () => {
  const terminal = new Terminal(200)
  let time = 0
  const progress = createTrainingProgress({
    quiet: false,
    stream: terminal as never,
    live: true,
    color: false,
    now: () => time,
  })
  for (let step = 1; step <= 100; step++) {
    time += 10
    progress.step(stepEvent(step))
  }
  assert.is(terminal.lines.length, 10)
  progress.finish()
  assert.match(terminal.lines.at(-1) ?? '', 'step 100/100')
  assert.ok(terminal.output.endsWith('\n'))
})

test('colour dims what is less important, without it there are no codes', () => {
  const [plain, colored] = [new Terminal(120), new Terminal(120)]
  drive(plain)
  drive(colored, 50, { color: true })
  assert.not.match(plain.lines.at(-1) ?? '', '\u001b[')
  assert.match(colored.lines.at(-1) ?? '', '\u001b[2mstep 50/100\u001b[0m')
  assert.match(colored.lines.at(-1) ?? '', /^epoch 2 {2}/)
})

test('elsewhere: a plain line at first, every ten seconds, and at the end', () => {
  const terminal = new Terminal(40)
  drive(terminal, 100, { live: false })
  const lines = terminal.output.trimEnd().split('\n')
  // Seconds 0.5, 10.5, 20.5, 30.5, 40.5 and the last step.
  assert.is(lines.length, 6)
  assert.match(lines[1] ?? '', 'epoch 2  step 21/100  21 %  loss')
  assert.match(lines[1] ?? '', 'ETA 0:40')
  assert.match(lines.at(-1) ?? '', 'step 100/100')
  assert.not.match(terminal.output, /[▁-█]/)
  assert.not.match(terminal.output, '\u001b')
})

test('--quiet writes nothing', () => {
  const terminal = new Terminal(200)
  const progress = createTrainingProgress({ quiet: true, stream: terminal as never })
  progress.step(stepEvent(1))
  progress.finish()
  assert.is(terminal.output, '')
})

test('CI gets plain lines on a terminal too', () => {
  const before = process.env.CI
  process.env.CI = 'true'
  try {
    const terminal = new Terminal(200)
    createTrainingProgress({ quiet: false, stream: terminal as never }).step(stepEvent(1))
    assert.is(terminal.lines.length, 0)
    assert.match(terminal.output, /^epoch 2 {2}step 1\/100.*\n$/)
  } finally {
    if (before === undefined) delete process.env.CI
    else process.env.CI = before
  }
})

test('modules one after the other: the active one alone', () => {
  const terminal = new Terminal(200)
  const progress = createTrainingProgress({ quiet: false, stream: terminal as never, live: true })
  const modules = stepEvent(1)
    .modules.slice(0, 2)
    .map((module, k) =>
      k === 1 ? module : { ...module, learned: false, labelLoss: null, accuracy: null },
    )
  progress.step(stepEvent(1, { activeModule: 1, modules: modules as StepEvent['modules'] }))
  assert.match(terminal.lines.at(-1) ?? '', /epoch 2 module 2 .*loss \d\.\d\d {2}/)
})

test('time left is counted from where the process began, not from the first step of a run', () => {
  const terminal = new Terminal(200)
  let time = 0
  const settings = { quiet: false, stream: terminal as never, live: true, now: () => time }
  const progress = createTrainingProgress(settings)
  time += 2000
  progress.step(stepEvent(81))
  time += 2000
  progress.step(stepEvent(82))
  assert.match(terminal.lines.at(-1) ?? '', 'ETA 0:36')
})

test('a sparkline has the width that was asked for, from tall to short', () => {
  assert.is(sparkline([3, 2, 1], 3), '█▅▁')
  assert.is(sparkline([1, 1], 4), '  ▁▁')
  assert.is(sparkline([], 2), '  ')
  assert.is(sparkline([Number.NaN, 5, Number.POSITIVE_INFINITY], 2), ' ▁')
  assert.is(
    sparkline(
      Array.from({ length: 80 }, (_, i) => 80 - i),
      8,
    ),
    '█▇▆▅▄▃▂▁',
  )
})

test.run()
