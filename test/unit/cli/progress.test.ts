// Progress lines: live on a terminal, plain elsewhere, none with --quiet.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createProgress, type ProgressSettings } from '../../../lib/cli/progress.js'

const MIB = 1024 * 1024

function record(settings: Partial<ProgressSettings>) {
  let text = ''
  const clock = { ms: 0 }
  const stream = {
    isTTY: true,
    columns: 60,
    write(chunk: string) {
      text += chunk
      return true
    },
  } as unknown as NonNullable<ProgressSettings['stream']>
  const progress = createProgress({ quiet: false, stream, now: () => clock.ms, ...settings })
  return { progress, clock, text: () => text }
}

const step = (done: number, total = 100 * MIB, label = 'Downloading') => ({
  label,
  done,
  total,
  unit: 'bytes',
})

test('plain: a line every ten per cent, the last one once', () => {
  const { progress, clock, text } = record({ live: false })
  for (let done = 0; done <= 100; done += 1) {
    clock.ms += 1000
    progress.update(step(done * MIB))
  }
  progress.update(step(100 * MIB))
  progress.finish()
  const lines = text().trimEnd().split('\n')
  assert.is(lines.length, 11)
  assert.match(lines[0] ?? '', /^Downloading {2}0 % {2}0 B of 100 MiB/)
  assert.match(lines.at(-1) ?? '', /^Downloading {2}100 % {2}100 MiB of 100 MiB {2}1\.00 MiB\/s$/)
  assert.not(text().includes('\u001b'))
})

test('plain: what is over in a moment takes two lines', () => {
  const { progress, text } = record({ live: false })
  for (let done = 1; done <= 100; done += 1) progress.update(step(done * MIB))
  assert.is(text().trimEnd().split('\n').length, 2)
})

test('plain: without a total, a line every half minute', () => {
  const { progress, clock, text } = record({ live: false })
  for (; clock.ms < 65_000; clock.ms += 1000) progress.update(step(MIB, 0))
  assert.is(text().trimEnd().split('\n').length, 3)
})

test('live: one line, redrawn at most ten times a second, cut to the terminal', () => {
  const { progress, clock, text } = record({ live: true, color: false })
  for (let done = 0; done <= 100; done += 1) {
    clock.ms += 10
    progress.update(step(done * MIB, 100 * MIB, 'Downloading something with a very long name'))
  }
  progress.finish()
  const draws = text().split('\r\u001b[2K').slice(1)
  assert.ok(draws.length <= 12, String(draws.length))
  assert.is(text().split('\n').length, 2)
  for (const draw of draws) assert.ok(draw.trimEnd().length < 60)
})

test('another label begins a new line, and other units are named', () => {
  const { progress, text } = record({ live: true, color: false })
  progress.update(step(MIB))
  progress.update({ label: 'Training', done: 3, total: 10, unit: 'steps' })
  progress.finish()
  assert.match(text(), /Downloading[\s\S]*\n[\s\S]*Training {2}30 % {2}3 of 10 steps\n$/)
})

test('colour only where it is wanted', () => {
  const dim = '\u001b[2m'
  const colored = record({ live: true, color: true })
  colored.progress.update(step(MIB))
  assert.ok(colored.text().includes(dim))
  const bare = record({ live: true, color: false })
  bare.progress.update(step(MIB))
  assert.not(bare.text().includes(dim))
})

test('quiet: nothing', () => {
  const { progress, text } = record({ quiet: true })
  progress.update(step(MIB))
  progress.finish()
  assert.is(text(), '')
})

test.run()
