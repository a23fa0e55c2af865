// A run's logs when it goes on from a checkpoint.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RunLogs } from '../../../lib/loggers/run-logs.js'
import { stepEvent } from '../../helpers/train-events.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-logs-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const steps = (file: string) =>
  readFileSync(path.join(root, file), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (file === 'metrics.csv' ? line.split(',')[0] : JSON.parse(line).step))

/** Logs with the first steps in them; gives how long the files were after the second one. */
function begin() {
  const logs = new RunLogs(root, 2)
  for (const step of [1, 2]) logs.add(stepEvent({ step }))
  const lengths = logs.sync()
  logs.add(stepEvent({ step: 3 }))
  logs.close()
  return lengths
}

function goOn(lengths: ReturnType<typeof begin>): void {
  const logs = new RunLogs(root, 2, { lengths, step: 2 })
  logs.add(stepEvent({ step: 3 }))
  logs.close()
}

test('what came after the checkpoint is cut off', () => {
  goOn(begin())
  assert.equal(steps('events.jsonl'), [1, 2, 3])
  assert.equal(steps('metrics.csv'), ['step', '1', '2', '3'])
})

test('one that was removed begins anew, one that was shortened goes on where it ends', () => {
  const lengths = begin()
  rmSync(path.join(root, 'metrics.csv'))
  for (const name of readdirSync(root)) {
    if (name.startsWith('events.out.')) rmSync(path.join(root, name))
  }
  truncateSync(path.join(root, 'events.jsonl'), 0)
  goOn(lengths)
  assert.equal(steps('events.jsonl'), [3])
  assert.equal(steps('metrics.csv'), ['step', '3'])
  const [tensorboard = ''] = readdirSync(root).filter((name) => name.startsWith('events.out.'))
  assert.match(readFileSync(path.join(root, tensorboard), 'latin1'), 'brain.Event:2')
})

test.run()
