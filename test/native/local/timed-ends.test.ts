// A split by time: units are timed as a trainer would compute them.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { locateLibtorch } from '../../../lib/libtorch/locate.js'
import { parseRunSpec } from '../../../lib/local/run-spec.js'
import { SwinTransformer } from '../../../lib/local/swin-transformer.js'
import { createTrainer } from '../../../lib/local/trainer-of-spec.js'
import { loadTorch } from '../../../lib/native/load.js'

// Products large enough to be worth a choice (native/core/math/product_choices.cc).
const WIDE = {
  ...({ imageSize: 32, patchSize: 4, windowSize: 4, classes: 10, device: 'cpu' } as const),
  ...{ embedDim: 96, depths: [2, 2], heads: [2, 4] },
}

// What earlier processes have measured is not measured again.
const cache = mkdtempSync(path.join(tmpdir(), 'localformer-timed-'))
process.env.LOCALFORMER_LIBTORCH = locateLibtorch().root
process.env.LOCALFORMER_CACHE = cache
test.after(() => rmSync(cache, { recursive: true, force: true }))

const torch = loadTorch()

test('products are timed by the backends that a trainer would choose, or by the one that was named', async () => {
  await using model = await SwinTransformer.create(WIDE)
  const before = torch.measuredProducts()
  await using plain = await createTrainer(model, parseRunSpec('paper:2,split=timed,math=mkl'))
  assert.is(torch.measuredProducts(), before)
  assert.is(plain.modules.length, 2)
  await using tuned = await createTrainer(model, parseRunSpec('paper:2,split=timed'))
  assert.ok(torch.measuredProducts() > before)
  assert.is(tuned.modules.length, 2)
})

test.run()
