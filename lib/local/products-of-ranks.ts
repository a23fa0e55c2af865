// Which backend computes which product, the same on all ranks of a trainer: each measures what it meets first, and
// what rank 0 writes into a checkpoint has to be what all of them go on with.
import { choicesOf, mergedTable, type ProductTable, tableOf } from '../device/products.js'
import { exchangeLong } from '../distributed/group.js'
import type { NativeTrainer } from '../native/contract.js'

/**
 * Every rank asks at once, also where it chooses nothing: others may be on another device. Of what two have
 * measured the lower rank's choice counts.
 *
 * @throws {LocalformerError} `ERR_DISTRIBUTED`
 */
export async function agreeOnProducts(trainer: NativeTrainer): Promise<void> {
  const own = await trainer.products()
  const texts = await exchangeLong('products', JSON.stringify(tableOf(own ?? [])))
  const table = mergedTable(texts.map((text) => JSON.parse(text) as ProductTable))
  if (own !== null) await trainer.setProducts(choicesOf(table))
}
