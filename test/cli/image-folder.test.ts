// Photos in folders through the commands: trained on, and evaluated at the size they were trained at.
import { spawnSync } from 'node:child_process'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { PNG } from 'pngjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openDataset } from '../../lib/datasets/open.js'
import { randomBelow, randomUint32 } from '../../lib/datasets/shuffle.js'
import { makeTempFolder } from '../helpers/cifar10-fixture.js'

const test = suite<{ temp: string }>('localformer on image-folder')
const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url))

test.before.each(async (context) => {
  context.temp = await makeTempFolder()
})

test.after.each(({ temp }) => rm(temp, { recursive: true, force: true }))

function localformer(...args: string[]) {
  const result = spawnSync(process.execPath, [main, ...args, '--json'], { encoding: 'utf8' })
  assert.is(result.status, 0, result.stderr)
  return { document: JSON.parse(result.stdout), stderr: result.stderr }
}

/** 8 + 8 photos of noise, 80 x 60 pixels, dark ones and light ones. */
async function makePhotos(root: string): Promise<void> {
  const random = randomUint32(3)
  for (const split of ['train', 'test']) {
    for (const [label, name] of ['dark', 'light'].entries()) {
      const folder = path.join(root, split, name)
      await mkdir(folder, { recursive: true })
      for (let photo = 0; photo < 4; photo++) {
        const png = new PNG({ width: 80, height: 60 })
        png.data.forEach((_, place) => {
          png.data[place] = 127 * label + randomBelow(random, 128)
        })
        await writeFile(path.join(folder, `${photo}.png`), PNG.sync.write(png, { colorType: 2 }))
      }
    }
  }
}

test('an evaluation finds the loss that the training ended with', async ({ temp }) => {
  const photos = path.join(temp, 'photos')
  await makePhotos(photos)
  const run = path.join(temp, 'run')
  const data = ['--dataset', 'image-folder', '--data-dir', photos]
  const network = ['--variant', 'micro', '--image-size', '32', '--device', 'cpu']
  const { document: trained, stderr } = localformer(
    ...['train', ...data, ...network, '--run', 'paper:2', '--batch-size', '4', '--run-dir', run],
  )
  assert.match(stderr, /^Decoding image-folder {2}100 % {2}16 of 16 files$/m)
  const { document: found } = localformer('evaluate', run, '--data-dir', photos, '--device', 'cpu')
  assert.is(found.dataset, 'image-folder')
  // The run knows where its photos are.
  assert.is(localformer('evaluate', run, '--device', 'cpu').document.loss, found.loss)
  assert.is(found.count, 8)
  const wanted = trained.evaluation.loss as number
  assert.ok(Math.abs(found.loss - wanted) < 1e-5 * wanted, `${found.loss}, not ${wanted}`)

  // Other photos to train on would make other means; the network sees pixels as it was trained.
  const white = new PNG({ width: 8, height: 8 })
  white.data.fill(255)
  await writeFile(path.join(photos, 'train/light/9.png'), PNG.sync.write(white))
  const { document: again } = localformer('evaluate', run, '--data-dir', photos, '--device', 'cpu')
  assert.is(again.loss, found.loss)

  for (const split of ['train', 'test']) {
    await rename(path.join(photos, split, 'light'), path.join(photos, split, 'bright'))
  }
  const wrong = spawnSync(process.execPath, [main, 'evaluate', run, '--data-dir', photos], {
    encoding: 'utf8',
  })
  assert.is(wrong.status, 2)
  assert.match(wrong.stderr, 'Class 0 was dark when the run was trained and is bright')
})

test('a limit takes photos of every class', async ({ temp }) => {
  await makePhotos(temp)
  const { train } = await openDataset('image-folder', {
    ...{ dataDir: temp, imageFolder: { imageSize: 8 } },
  })
  assert.equal([...train.labels], [0, 1, 0, 1, 0, 1, 0, 1])
})

test.run()
