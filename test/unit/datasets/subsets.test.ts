// Real images, where a folder with some is named: LOCALFORMER_TEST_DATA=FOLDER, which holds subsets in
// the official layouts. dataset.json has what numpy and scipy found in them.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import { openDataset } from '../../../lib/datasets/open.js'
import { assertGolden, golden } from '../../helpers/official-files.js'

const FOLDERS = {
  cifar10: 'cifar-10-batches-bin',
  cifar100: 'cifar-100-binary',
  stl10: 'imagenette96-stl10-layout',
  svhn: 'svhn',
} as const

const root = process.env.LOCALFORMER_TEST_DATA

for (const [name, folder] of Object.entries(FOLDERS) as [keyof typeof FOLDERS, string][]) {
  const title = `real images: counts, sums and statistics of ${name} are those of numpy and scipy`
  const dataDir = path.join(root ?? '', folder)
  if (root && existsSync(dataDir)) {
    test(title, async () =>
      assertGolden(await openDataset(name, { dataDir }), golden.subsets[name]),
    )
  } else {
    console.log(
      `SKIP: ${title}: ${root ? `no ${folder} in` : 'no folder in'} LOCALFORMER_TEST_DATA`,
    )
    test.skip(title)
  }
}

test.run()
