// A run's loggers: its files when it goes on from a checkpoint, and those that a user brings.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LogEntry, Logger } from '../../../lib/loggers/logger.js'
import { checkLoggers, Loggers, type LogPlaces } from '../../../lib/loggers/loggers.js'
import { rejects } from '../../helpers/expect.js'
import { stepEvent } from '../../helpers/train-events.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-logs-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const run = { directory: root, run: 'greedy:2', config: {}, modules: 2 }

function open(
  others: readonly Logger[] = [],
  from?: { places: LogPlaces; step: number },
  problems: string[] = [],
): Promise<Loggers> {
  return Loggers.open(run, others, (problem) => problems.push(problem), from)
}

const steps = (file: string) =>
  readFileSync(path.join(root, file), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (file === 'metrics.csv' ? line.split(',')[0] : JSON.parse(line).step))

/** Logs with the first steps in them; gives where the files were after the second one. */
async function begin(): Promise<LogPlaces> {
  const loggers = await open()
  for (const step of [1, 2]) loggers.log(stepEvent({ step }))
  const places = await loggers.sync()
  loggers.log(stepEvent({ step: 3 }))
  await loggers.close()
  return places
}

async function goOn(places: LogPlaces): Promise<void> {
  const loggers = await open([], { places, step: 2 })
  loggers.log(stepEvent({ step: 3 }))
  await loggers.close()
}

test('what came after the checkpoint is cut off', async () => {
  await goOn(await begin())
  assert.equal(steps('events.jsonl'), [1, 2, 3])
  assert.equal(steps('metrics.csv'), ['step', '1', '2', '3'])
})

test('one that was removed begins anew, one that was shortened goes on where it ends', async () => {
  const places = await begin()
  rmSync(path.join(root, 'metrics.csv'))
  for (const name of readdirSync(root)) {
    if (name.startsWith('events.out.')) rmSync(path.join(root, name))
  }
  truncateSync(path.join(root, 'events.jsonl'), 0)
  await goOn(places)
  assert.equal(steps('events.jsonl'), [3])
  assert.equal(steps('metrics.csv'), ['step', '3'])
  const [tensorboard = ''] = readdirSync(root).filter((name) => name.startsWith('events.out.'))
  assert.match(readFileSync(path.join(root, tensorboard), 'latin1'), 'brain.Event:2')
})

test('places that a checkpoint should not hold begin the files anew, inside of the folder', async () => {
  const odd = { csv: { bytes: -1 }, 'json-lines': 'x', tensorboard: { file: '../../x', bytes: 1 } }
  await goOn(odd)
  assert.equal(steps('events.jsonl'), [3])
  assert.equal(steps('metrics.csv'), ['step', '3'])
})

test('one of a user hears every event in order with its figures, and where it goes on', async () => {
  const heard: LogEntry[] = []
  const asked: unknown[] = []
  const mine: Logger = {
    name: 'mine',
    open: (_, restored) => void asked.push(restored),
    // Later ones are done sooner.
    log: async (entry) => {
      await new Promise((resolve) => setTimeout(resolve, 4 - entry.step))
      heard.push(entry)
    },
    sync: () => heard.length,
  }
  const loggers = await open([mine])
  for (const step of [1, 2, 3]) loggers.log(stepEvent({ step }))
  const places = await loggers.sync()
  assert.is(places.mine, 3)
  assert.equal(
    heard.map(({ step }) => step),
    [1, 2, 3],
  )
  assert.is(typeof heard[0]?.scalars['label_loss/module_1'], 'number')
  await loggers.close()
  const again = await open([mine], { places, step: 3 })
  assert.equal(asked, [undefined, 3])
  await again.close()
})

test('one that fails is told once and does not stop the run; one that is required does', async () => {
  const problems: string[] = []
  const failing = (name: string, required: boolean): Logger => ({
    ...{ name, required },
    log: ({ step }) => {
      if (step === 1) throw new Error('no network')
      return Promise.reject(new Error('still none'))
    },
  })
  const loggers = await open([failing('remote', false)], undefined, problems)
  for (const step of [1, 2]) loggers.log(stepEvent({ step }))
  await loggers.sync()
  await loggers.close()
  assert.equal(problems, ['The logger remote failed: no network'])
  assert.equal(steps('events.jsonl'), [1, 2])

  const strict = await open([failing('disk', true)])
  assert.throws(() => strict.log(stepEvent({ step: 1 })), 'no network')
  strict.log(stepEvent({ step: 2 }))
  const error = await strict.sync().catch((caught: Error) => caught)
  assert.is((error as Error).message, 'still none')
  await strict.close()
})

test('what no checkpoint can keep is told, and all are closed where one fails', async () => {
  const problems: string[] = []
  const closed: string[] = []
  const loggers = await open(
    [
      { name: 'big', log: () => undefined, sync: () => 10n },
      {
        ...{ name: 'disk', required: true, log: () => undefined },
        close: () => Promise.reject(new Error('gone')),
      },
      { name: 'last', log: () => undefined, close: () => void closed.push('last') },
    ],
    undefined,
    problems,
  )
  assert.is((await loggers.sync()).big, undefined)
  assert.match(problems[0] ?? '', 'The logger big failed')
  const error = await loggers.close().catch((caught: Error) => caught)
  assert.is((error as Error).message, 'gone')
  assert.equal(closed, ['last'])
})

test('what is no logger, or has the name of another, is refused', async () => {
  const check = async (loggers: unknown) => checkLoggers(loggers)
  await rejects(() => check({}), 'ERR_CONFIG', 'a list of loggers')
  await rejects(() => check([{ name: 'x' }]), 'ERR_CONFIG', '`loggers.0`')
  await rejects(() => check([null]), 'ERR_CONFIG', '`loggers.0`')
  const csv = { name: 'csv', log: () => undefined }
  await rejects(() => check([csv]), 'ERR_CONFIG', '`loggers.0.name`')
})

test.run()
