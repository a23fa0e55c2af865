// Python's torch on a simulated card gives figures that were published from real ones, to the byte. Runs
// where Python (`PYTHON`, or that of `npm run bench:peers`) has the torch that the stand-ins are for.
import { test as plain } from 'uvu'
import * as assert from 'uvu/assert'
import { cardNamed } from '../../../lib/simulated/cards.js'
import { CASES } from '../../bench/fidelity/cases.js'
import { rowOf } from '../../bench/fidelity/table.js'
import { runOnCard, runWhereItFits, whyNoPython } from '../../helpers/simulated-python.js'

const reason = whyNoPython()
if (reason !== undefined) console.log(`SKIP: ${reason}`)
const test = reason === undefined ? plain : plain.skip

for (const name of ['a first linear layer, afterwards', 'SGD, two micro-batches of 128']) {
  test(name, () => {
    const one = CASES.find((each) => each.name === name)
    assert.ok(one)
    const figures = runOnCard(one.card, one.program, one.args)
    assert.is(rowOf(one, figures[one.statistic]).verdict, 'equal')
  })
}

test('what is used of the card is the context and what PyTorch reserves', () => {
  const { used, reserved } = runOnCard('a10g', 'small.py', ['first-linear'])
  assert.is(used - reserved, cardNamed('a10g').contextBytes)
})

test('what a program asked of the card is counted', () => {
  const figures = runOnCard('a10g', 'small.py', ['linear-forward'])
  const { products, pageableCopies, pinnedCopies, bytesToDevice, bytesToHost } = figures
  // A weight of 4 MiB and an input of 2.
  assert.equal(
    { products, pageableCopies, pinnedCopies, bytesToDevice, bytesToHost },
    { products: 1, pageableCopies: 2, pinnedCopies: 0, bytesToDevice: 6 * 2 ** 20, bytesToHost: 0 },
  )
})

test('what the card has no room for has no figures, and what fails otherwise fails', () => {
  assert.is(runWhereItFits('1GiB,sm_80', 'small.py', ['two-tensors']), undefined)
  assert.ok(runWhereItFits('4GiB,sm_80', 'small.py', ['two-tensors']))
  assert.throws(() => runWhereItFits('4GiB,sm_80', 'small.py', ['no such']), /no such/)
})

plain.run()
