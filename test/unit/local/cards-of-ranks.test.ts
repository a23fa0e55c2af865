// Ranks that do not have a card each.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LocalformerError } from '../../../lib/base/errors.js'
import { checkApart } from '../../../lib/local/cards-of-ranks.js'

function refusal(cards: readonly string[]): string {
  try {
    checkApart(cards)
  } catch (error) {
    assert.instance(error, LocalformerError)
    assert.is((error as LocalformerError).code, 'ERR_CONFIG')
    return (error as Error).message
  }
  return ''
}

test('all on the CPU, or each on a card of its own', () => {
  assert.is(refusal(['', '', '']), '')
  assert.is(refusal(['a', 'b', 'c']), '')
  assert.is(refusal(['a']), '')
})

test('two ranks on one card are named, whatever they call it', () => {
  assert.match(refusal(['a', 'b', 'a']), /Ranks 0 and 2 are on the same card/)
})

test('some on the CPU and some on CUDA', () => {
  assert.match(refusal(['a', '']), /Rank 1 trains on the CPU and rank 0 on CUDA/)
})

test.run()
