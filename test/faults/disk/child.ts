// A short run in the folder that the first argument names, begun or gone on with; the second is its
// schedule. Where it fails, what it was told goes to standard error as one line of JSON.
import { LocalformerError } from '../../../lib/base/errors.js'
import { type Resumable, trainResumable } from '../../helpers/resumable-run.js'

const [folder = '.', schedule = 'together'] = process.argv.slice(2)
const epochs = schedule === 'together' ? 2 : 1

try {
  await trainResumable(folder, { schedule: schedule as Resumable['schedule'], epochs, seed: 0 })
} catch (error) {
  const { code, message, stack } = error as LocalformerError
  const told = error instanceof LocalformerError ? { code, message } : { message, stack }
  console.error(`failed: ${JSON.stringify(told)}`)
  process.exitCode = 1
}
