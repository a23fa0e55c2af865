// Ranks that train or evaluate together multiply alike, whatever each has in its cache, and a checkpoint has what
// all of them measured.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ProductTable } from '../../lib/device/products.js'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { fixture } from '../helpers/child.js'
import { LARGE } from '../helpers/large.js'
import { setAllProducts } from '../helpers/product-cache.js'
import { type RankJob, reportsOf, startRanks } from '../helpers/ranks.js'

const root = mkdtempSync(path.join(tmpdir(), 'localformer-products-of-ranks-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const at = (cache: string) => path.join(root, cache)

function environmentOf(cache: string) {
  return {
    ...{ LOCALFORMER_LIBTORCH: locateLibtorch().root, OMP_NUM_THREADS: '1' },
    LOCALFORMER_CACHE: at(cache),
  }
}

/** Of products that are large enough to be measured, on ranks with the caches of these names. */
async function trainLarge(parallel: 'data' | 'modules', caches: readonly string[]) {
  const { device: _, ...network } = LARGE
  const job: RankJob = {
    ...{ run: 'paper:2', network, images: 32, training: { batchSize: 16, epochs: 1 } },
    ...(caches.length === 1 ? {} : { parallel: { parallel } }),
  }
  const { ended } = await startRanks(
    caches.length,
    () => [fixture('rank'), JSON.stringify(job)],
    (rank) => ({
      ...(caches.length === 1 ? { RANK: undefined, WORLD_SIZE: undefined } : {}),
      ...environmentOf(caches[rank] as string),
    }),
  )
  return reportsOf(await Promise.all(ended)).map(({ products }) => products)
}

test('ranks multiply by the choices of rank 0, from the first step on, and where they share an evaluation', async () => {
  await trainLarge('data', ['measures', 'measures too'])
  setAllProducts(at('one'), 'onednn', at('measures'))
  setAllProducts(at('other'), 'mkl', at('measures'))
  const backendsOf = (products: ProductTable) => [...new Set(Object.values(products))]
  for (const products of await trainLarge('data', ['one', 'other'])) {
    assert.equal(products.map(backendsOf), [['onednn'], ['onednn'], ['onednn']])
  }
  const { ended } = await startRanks(
    2,
    () => [fixture('shared'), 'products'],
    (rank) => environmentOf(['one', 'other'][rank] as string),
  )
  for (const products of reportsOf<ProductTable>(await Promise.all(ended))) {
    assert.equal(backendsOf(products), ['onednn'])
  }
})

test('what a rank has measured is known to all behind the first step, and in a checkpoint', async () => {
  const [alone = []] = await trainLarge('modules', ['alone'])
  const [first = [], second = []] = await trainLarge('modules', ['begin', 'end'])
  assert.is(first.length, 3)
  assert.equal(second, first)
  for (const moment of [1, 2]) {
    const missing = Object.keys(alone[1] ?? {}).filter(
      (product) => !(product in (first[moment] ?? {})),
    )
    assert.equal(missing, [])
  }
})

test.run()
