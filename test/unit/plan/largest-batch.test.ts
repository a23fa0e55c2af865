// The largest batch that fits, found by few tries whatever the bytes look like.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { largestBatch } from '../../../lib/plan/largest-batch.js'

const MOST = 10_000

/** Searches from a batch of 64; every answer has to be a border. */
async function searched(bytes: (batchSize: number) => number, limit: number, tolerance = 0) {
  const tried: number[] = []
  const within = (batchSize: number) => {
    tried.push(batchSize)
    const taken = bytes(batchSize)
    return taken > limit ? null : { allocatedBytes: taken, reservedBytes: taken }
  }
  const known = [{ batchSize: 64, taken: within(64) }]
  const options = { limit, known, most: MOST, tolerance }
  const found = await largestBatch(async (batchSize) => within(batchSize), options)
  return { found, tries: tried.length }
}

test('a line is found by its slope', async () => {
  const { found, tries } = await searched((batchSize) => 400 + 5.3 * batchSize, 11_708)
  assert.is(found, 2133)
  assert.ok(tries <= 8, `${tries} tries`)
})

test('steps, jumps and a slope that changes give a batch that fits while the next does not', async () => {
  const shapes: [string, (batchSize: number) => number][] = [
    ['steps', (batchSize) => 390 + 80 * Math.ceil(batchSize / 17)],
    ['jumps', (batchSize) => 400 + 4.9 * batchSize * (1 + (0.08 * ((batchSize * 7919) % 13)) / 13)],
    ['bent', (batchSize) => 300 + 2 * batchSize + Math.max(0, batchSize - 900) * 7],
    ['sunken', (batchSize) => 300 + 9 * batchSize - Math.max(0, batchSize - 400) * 6],
  ]
  for (const [name, bytes] of shapes) {
    const { found, tries } = await searched(bytes, 11_000)
    assert.ok(bytes(found) <= 11_000, `${name}: ${found} fits`)
    assert.ok(bytes(found + 1) > 11_000, `${name}: ${found + 1} does not`)
    assert.ok(tries <= 24, `${name}: ${tries} tries`)
  }
})

test('a batch that does not fit is searched below, down to none', async () => {
  assert.is((await searched((batchSize) => (batchSize <= 2 ? 5 : 1e9), 1000)).found, 2)
  assert.is((await searched(() => 1e9, 1000)).found, 0)
})

test('what always fits ends at the most that is tried', async () => {
  assert.is((await searched(() => 10, 1000)).found, MOST)
})

test('of a card lost room makes the one line end too late, the other too early: few tries between', async () => {
  // What a card with 11,708 MiB showed: reserved bytes bend when it is nearly full.
  const shapes = [
    { share: 0.82, border: 1855 },
    { share: 0.95, border: 672 },
  ]
  for (const { share, border } of shapes) {
    let tries = 0
    const attempt = async (batchSize: number) => {
      tries++
      if (batchSize > border) return null
      const allocatedBytes = 300 + ((11_708 * (share + 0.02) - 300) * batchSize) / border
      return { allocatedBytes, reservedBytes: Math.min(allocatedBytes / share, 11_700) }
    }
    const known = [{ batchSize: 64, taken: await attempt(64) }]
    assert.is(await largestBatch(attempt, { limit: 11_708, known, most: MOST }), border)
    assert.ok(tries <= 14, `${tries} tries`)
  }
})

test('with a tolerance fewer are tried, and what is found fits', async () => {
  const bytes = (batchSize: number) => 390 + 80 * Math.ceil(batchSize / 17)
  const [exact, near] = [await searched(bytes, 11_000), await searched(bytes, 11_000, 0.02)]
  assert.ok(near.tries <= exact.tries)
  assert.ok(bytes(near.found) <= 11_000 && near.found >= exact.found * 0.98 - 1)
})

test.run()
