// Folders that a user names: made with those above them, or refused at once; and what is no file, which
// would be waited for or read for ever.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeFolder } from '../../../lib/base/files.js'
import { openDataset } from '../../../lib/datasets/open.js'
import { readImage } from '../../../lib/datasets/read-image.js'
import { readSvhn } from '../../../lib/datasets/svhn.js'
import { writeReport } from '../../../lib/report/write-report.js'
import { CheckpointStore } from '../../../lib/run-folder/checkpoint-store.js'
import { inspectWeights } from '../../../lib/weights/inspect-weights.js'
import { rejects } from '../../helpers/expect.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-folder-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

async function codeOf(directory: string): Promise<string | undefined> {
  const none = () => undefined
  return makeFolder(directory).then(none, (error: NodeJS.ErrnoException) => error.code)
}

test('makes what is missing, and takes what is there', async () => {
  await makeFolder(path.join(root, 'a', 'b', 'c'))
  assert.ok(existsSync(path.join(root, 'a', 'b', 'c')))
  await makeFolder(path.join(root, 'a', 'b'))
})

test('a file in the way is refused', async () => {
  writeFileSync(path.join(root, 'file'), '')
  assert.is(await codeOf(path.join(root, 'file')), 'EEXIST')
  assert.is(await codeOf(path.join(root, 'file', 'below')), 'ENOTDIR')
})

test('a place where no folder can be made is refused too', async () => {
  assert.is(await codeOf('/proc/localformer/run'), 'ENOENT')
})

/** What is in the place of a file, by its name. */
const NO_FILES: Readonly<Record<string, (place: string) => void>> = {
  'a pipe that nobody writes to': (place) => execFileSync('mkfifo', [place]),
  'a device without end': (place) => symlinkSync('/dev/zero', place),
  'a folder': (place) => mkdirSync(place),
}

for (const [name, make] of Object.entries(NO_FILES)) {
  test(`${name} is refused in the place of a file`, async () => {
    const folder = mkdtempSync(path.join(root, 'none-'))
    const place = (file: string) => {
      const there = path.join(folder, file)
      mkdirSync(path.dirname(there), { recursive: true })
      make(there)
      return there
    }
    const image = place('image.png')
    await rejects(() => readImage(image), 'ERR_DATASET', /it is no file|it is a folder/)
    await rejects(
      () => readImage(image, { size: 8 }),
      'ERR_DATASET',
      /it is no file|it is a folder/,
    )
    const weights = place('a.safetensors')
    await rejects(() => inspectWeights(weights), 'ERR_CHECKPOINT', /it is no file|it is a folder/)
    place('run/config.json')
    await rejects(() => writeReport(path.join(folder, 'run')), 'ERR_CONFIG')
    place('run/checkpoints/last/state.json')
    const store = new CheckpointStore(path.join(folder, 'run', 'checkpoints'))
    await rejects(() => store.load(), 'ERR_CHECKPOINT')
    for (const file of ['svhn/train_32x32.mat', 'svhn/test_32x32.mat']) place(file)
    await rejects(() => readSvhn(path.join(folder, 'svhn')), 'ERR_DATASET')
    for (const part of ['train', 'val']) place(`photos/${part}/cat/one.png`)
    const dataDir = path.join(folder, 'photos')
    await rejects(() => openDataset('image-folder', { dataDir }), 'ERR_DATASET')
  })
}

test.run()
