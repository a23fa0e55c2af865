// Lists of 2^32 - 1 holes, which take no memory and minutes to walk through: each place that takes a
// list looks at its length first. A place that does not never ends here.
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ErrorCode } from '../../../lib/base/errors.js'
import { checkLengths, entriesOf } from '../../../lib/base/validate.js'
import { resolveConfig } from '../../../lib/config/resolve.js'
import { defineDataset } from '../../../lib/datasets/dataset.js'
import { resolveSwinConfig } from '../../../lib/local/swin-transformer.js'
import { checkLoggers } from '../../../lib/loggers/loggers.js'
import { tensorsOf } from '../../../lib/native/tensors.js'
import { writeReport } from '../../../lib/report/write-report.js'
import { resolveTrainOptions } from '../../../lib/train/options.js'
import { writeCheckpoint } from '../../../lib/weights/checkpoint.js'
import { rejects } from '../../helpers/expect.js'

// biome-ignore lint/suspicious/noExplicitAny: what no type allows
const holes: any = new Array(2 ** 32 - 1)
const file = path.join(tmpdir(), 'localformer-never-written')
const data = new Float32Array(1)
const split = { images: new Uint8Array(3), labels: Uint8Array.of(0), height: 1, width: 1 }

const PLACES: Readonly<Record<string, readonly [() => unknown, ErrorCode]>> = {
  'shape of a tensor': [() => tensorsOf({ a: { shape: holes, data } }), 'ERR_CHECKPOINT'],
  'shape of integers': [
    () =>
      writeCheckpoint(file, {
        ...{ tensors: {}, metadata: {} },
        integers: { a: { shape: holes, data: new BigInt64Array(1) } },
      }),
    'ERR_CHECKPOINT',
  ],
  'class names': [
    () => defineDataset({ name: 'own', classes: holes, train: split, test: split }),
    'ERR_DATASET',
  ],
  loggers: [() => checkLoggers(holes), 'ERR_CONFIG'],
  'run folders': [() => writeReport(holes), 'ERR_CONFIG'],
  depths: [() => resolveSwinConfig({ variant: 'micro', depths: holes }), 'ERR_CONFIG'],
  'learning rates': [() => resolveTrainOptions({ learningRate: holes } as never), 'ERR_CONFIG'],
  'modules of a configuration': [() => resolveConfig({ modules: holes }), 'ERR_CONFIG'],
  'learning rates of a configuration': [
    () => resolveConfig({ training: { learningRate: holes } }),
    'ERR_CONFIG',
  ],
}

for (const [name, [call, code]] of Object.entries(PLACES)) {
  test(`${name}: a list of holes is refused`, async () => {
    await rejects(call, code)
  })
}

test('entries are those of the moment, with holes as undefined', () => {
  const list = [1, 2, 3]
  delete list[1]
  assert.equal(entriesOf(list), [1, undefined, 3])
  assert.ok(1 in (entriesOf(list) ?? {}))
  assert.equal(entriesOf([1, 2], 2), [1, 2])
  assert.is(entriesOf([1, 2, 3], 2), undefined)
  for (const none of [{ length: 1 }, 'ab', undefined]) assert.is(entriesOf(none), undefined)
})

test('options are looked through as deep as they go, and once', () => {
  const deep = { a: [{ b: { c: new Array(2 ** 18) } }] }
  checkLengths(deep)
  deep.a[0]?.b.c.push(1)
  assert.throws(
    () => checkLengths(deep),
    /at most 262144 entries for `c` but received "a list of 262145"/,
  )
  const circle: Record<string, unknown> = {}
  circle.self = [circle, circle]
  checkLengths(circle)
})

test.run()
