// Two steps on a simulated card that has no limit but its own end.
// node card-trial-child.js CARD REQUEST(JSON): prints how many steps were trained
import { LocalformerError } from '../../lib/base/errors.js'
import { parseRunSpec } from '../../lib/local/run-spec.js'
import { SwinTransformer } from '../../lib/local/swin-transformer.js'
import { createTrainer } from '../../lib/local/trainer-of-spec.js'
import { load } from '../../lib/native/load.js'
import type { CardTrial } from './card-trial.js'

const [card = '', text = ''] = process.argv.slice(2)
const { network, run, training, batchSize }: CardTrial = JSON.parse(text)
load({ simulate: card })
let trained = 0
try {
  await using model = await SwinTransformer.of({ ...network, device: 'cuda' })
  await using trainer = await createTrainer(model, parseRunSpec(run), training, batchSize)
  const images = new Uint8Array(batchSize * 3 * network.imageSize ** 2)
  const labels = new Int32Array(batchSize)
  for (; trained < 2; trained++) await trainer.step({ images, labels })
} catch (error) {
  if (!(error instanceof LocalformerError) || error.code !== 'ERR_OUT_OF_MEMORY') throw error
}
console.log(trained)
