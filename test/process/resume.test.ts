// Kill -9, twenty times in one run: what is there in the end is what an uninterrupted run leaves, byte
// for byte. The moments are drawn from a seed, but whichever they are, the test has to pass.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBelow, randomUint32 } from '../../lib/datasets/shuffle.js'
import { fixture, run } from '../helpers/child.js'
import { leftBy } from '../helpers/resumable-run.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-kill-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const SCRIPT = fixture('resumable')
/** With at most eight events each, the run is not over before it was killed so often. */
const KILLS = { together: 20, sequential: 5 } as const

function newFolder(name: string): string {
  const folder = path.join(root, name)
  mkdirSync(folder)
  return folder
}

for (const schedule of ['together', 'sequential'] as const) {
  test(`${schedule}: killed ${KILLS[schedule]} times, the run ends as if it never was`, async () => {
    const whole = newFolder(`${schedule}-whole`)
    const ended = await run([SCRIPT, whole, schedule])
    assert.is(ended.code, 0, ended.stderr)

    const killed = newFolder(`${schedule}-killed`)
    const random = randomUint32(7, KILLS[schedule])
    for (let kill = 0; kill < KILLS[schedule]; kill++) {
      // While it starts, in a step, while a checkpoint is written.
      const [event, delay] = [randomBelow(random, 4), randomBelow(random, 40)].map(String)
      const { signal, stderr } = await run([
        SCRIPT,
        killed,
        schedule,
        '0',
        event ?? '',
        delay ?? '',
      ])
      assert.is(signal, 'SIGKILL', stderr)
    }
    const last = await run([SCRIPT, killed, schedule])
    assert.is(last.code, 0, last.stderr)

    assert.equal(leftBy(killed), leftBy(whole))
  })
}

test('another seed ends otherwise', async () => {
  const folder = newFolder('seed')
  assert.is((await run([SCRIPT, folder, 'sequential', '1'])).code, 0)
  const weights = (name: string) =>
    readFileSync(path.join(root, name, 'checkpoints/last/weights.safetensors'))
  assert.not.ok(weights('seed').equals(weights('sequential-whole')))
})

test.run()
