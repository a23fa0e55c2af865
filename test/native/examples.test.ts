// Every script of examples/ as a reader runs it, and what it prints.
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DIST, run } from '../helpers/child.js'

/** Lines of a script, which has to end well. */
async function linesOf(name: string): Promise<string[]> {
  const { code, stdout, stderr } = await run([path.join(DIST, 'examples', `${name}.js`)])
  assert.is(code, 0, stderr)
  return stdout.trimEnd().split('\n')
}

const repeat = (count: number, line: string) => Array<string>(count).fill(line)

/** Numbers with a fraction, in order. */
const numbersOf = (line: string) => (line.match(/\d+\.\d+/g) ?? []).map(Number)

const EXAMPLES: Readonly<Record<string, (lines: readonly string[]) => void>> = {
  'drive-modules': (lines) => {
    assert.is(lines.length, 9)
    const losses = lines.slice(0, 8).map(numbersOf)
    for (const line of losses) assert.is(line.length, 4)
    assert.ok((losses[7]?.[2] as number) < (losses[0]?.[2] as number), 'module 3 learns')
    assert.is(lines[8], 'features after module 2: 8 x 4 x 4 x 64')
  },
  freeze: (lines) => {
    assert.equal(
      lines.map((line) => line.replace(/^step \d+: /, '')),
      [
        ...repeat(8, 'learns, learns, learns, learns'),
        ...repeat(8, 'passes on, learns, learns, learns'),
      ],
    )
  },
  'own-loop': (lines) => {
    assert.is(lines.length, 3)
    assert.match(lines[1] as string, /^epoch 2: test accuracy \d+\.\d %$/)
    assert.is(lines[2], '16 steps, kept in a folder with report.html: true')
  },
  'per-module-rates': (lines) => {
    assert.equal(lines.slice(0, 4), [
      'module 1: SGD, weight decay 0.05',
      'module 2: AdamW, weight decay 0.05',
      'module 3: AdamW, weight decay 0.05',
      'module 4: AdamW, weight decay 0.1',
    ])
    const [first, last] = [numbersOf(lines[4] as string), numbersOf(lines[6] as string)]
    for (const [k, loss] of last.entries()) assert.ok(loss < (first[k] as number), `module ${k}`)
    assert.match(lines[7] as string, /^test accuracy \d+\.\d %$/)
  },
  resume: (lines) => {
    assert.equal(lines, [
      ...['begins at step 1', 'kept at step 8', 'begins at step 9'],
      ...['kept at step 16', 'kept at step 24', 'ended at step 24'],
    ])
  },
  run: (lines) => {
    const steps = lines.filter((line) => line.startsWith('step '))
    assert.is(steps.length, 8)
    assert.match(steps[7] as string, /^step 8: label loss of module 1 \d\.\d{3}$/)
    assert.ok(lines.includes('epoch 2 of 2'))
    assert.ok(lines.some((line) => line.startsWith('12 steps, test accuracy ')))
    assert.match(lines.at(-1) as string, /^\[ [\d.]+, [\d.]+ \]$/)
  },
  sequential: (lines) => {
    assert.is(lines.length, 10)
    const bytes = lines.slice(0, 9).map((line) => Number(/(\d+) bytes$/.exec(line)?.[1]))
    for (const each of bytes.slice(1)) assert.ok(each < (bytes[0] as number))
    assert.equal(
      lines.slice(1, 9).map((line) => line.slice(0, 'module 1'.length)),
      [1, 1, 2, 2, 3, 3, 4, 4].map((k) => `module ${k}`),
    )
    assert.match(lines[9] as string, /^test accuracy \d+\.\d %$/)
  },
}

for (const [name, check] of Object.entries(EXAMPLES)) {
  test(name, async () => check(await linesOf(name)))
}

test('every example has its test', () => {
  const folder = path.join(DIST, '..', 'examples')
  const scripts = readdirSync(folder).filter((file) => file.endsWith('.ts'))
  assert.equal(
    scripts.map((file) => file.slice(0, -'.ts'.length)).sort(),
    Object.keys(EXAMPLES).sort(),
  )
})

test.run()
