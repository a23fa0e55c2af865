// The cards that can be simulated: by name, by size and architecture, and what is neither.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CARDS, type Card, cardNamed } from '../../../lib/simulated/cards.js'
import { cardText } from '../../../lib/simulated/stand-ins.js'
import { rejects } from '../../helpers/expect.js'

const GIB = 2 ** 30

test('every card is found by its key and by its name, however it is written', () => {
  assert.ok(CARDS.length >= 20)
  assert.is(new Set(CARDS.map(({ key }) => key)).size, CARDS.length)
  assert.is(new Set(CARDS.map(({ name }) => name)).size, CARDS.length)
  for (const card of CARDS) {
    const { key, name } = card
    for (const text of [key, key.toUpperCase(), ` ${key} `, name, name.toLowerCase()]) {
      assert.is(cardNamed(text), card, text)
    }
  }
  const ways = ['RTX 3060', 'rtx-3060', 'rtx_3060', 'NVIDIA GeForce RTX 3060']
  for (const text of [...ways, 'NVIDIA RTX 3060', 'geforce rtx3060']) {
    assert.is(cardNamed(text).key, 'rtx3060', text)
  }
  assert.is(cardNamed('NVIDIA T4').key, 't4')
  assert.is(cardNamed('RTX 4060 Ti 16GB').key, 'rtx4060ti-16gb')
})

test('what a card says of itself is whole, and stands in what the stand-ins read', () => {
  for (const card of CARDS) {
    const { totalBytes, contextBytes, multiprocessors, kernels, major, minor, l2Bytes } = card
    assert.ok(totalBytes > 4 * GIB && totalBytes < 200 * GIB, card.key)
    assert.is(totalBytes % 2 ** 20, 0, card.key)
    assert.ok(contextBytes > 0 && multiprocessors > 0 && Number.isInteger(l2Bytes), card.key)
    assert.is(card.hasBfloat16, major >= 8, card.key)
    // Kernels of the same generation that are not newer than the card.
    assert.is(Math.floor(kernels / 10), major, card.key)
    assert.ok(kernels <= 10 * major + minor, card.key)
    const fields = fieldsOf(card)
    assert.is(fields.get('name'), card.name)
    assert.is(fields.get('totalBytes'), String(totalBytes))
    assert.is(fields.size, 11, 'those that native/simulated/card.c knows')
    assert.ok(card.name.length < 128 && cardText(card).length < 512, 'room in card.c')
  }
  assert.is(cardNamed('t4').hasBfloat16, false)
  assert.is(cardNamed('rtx4090').kernels, 86, "an sm_89 runs sm_86's")
})

function fieldsOf(card: Card): Map<string, string> {
  const items = cardText(card).split(',')
  return new Map(
    items.map((item) => {
      assert.is(item.split('=').length, 2, item)
      return item.split('=') as [string, string]
    }),
  )
}

test('a size and an architecture are a card, the same for every way of writing them', () => {
  const card = cardNamed('12GiB,sm_86')
  assert.is(card.key, '12GiB,sm_86')
  assert.is(card.totalBytes, 12 * GIB)
  assert.is(card.major, 8)
  assert.is(card.minor, 6)
  assert.ok(fieldsOf(card).get('name')?.includes('12GiB'))
  for (const text of ['12gib, SM_86', ' 12 GiB , sm86 ', '012.0GiB,sm_86', card.key]) {
    assert.equal(cardNamed(text), card, text)
  }
  assert.is(cardNamed('8000MB,sm_89').totalBytes, 8e9)
  assert.is(cardNamed('1.5GiB,sm_120').totalBytes, 1.5 * GIB)
  assert.is(cardNamed('1024GiB,sm_100').totalBytes, 1024 * GIB)
  assert.is(cardNamed('16GB,sm_75').hasBfloat16, false)
})

const NONSENSE: [unknown, RegExp][] = [
  ['12', /a size and an architecture, such as sim:12GiB,sm_86/],
  ['12GiB', /a size and an architecture/],
  ['12GiB,', /a size and an architecture/],
  [',sm_86', /a size and an architecture/],
  ['-3GiB', /knows no card "-3GiB"/],
  ['-3GiB,sm_86', /a size and an architecture/],
  ['0GiB,sm_86', /a card of 1 GiB to 1 TiB/],
  ['0.5GiB,sm_86', /a card of 1 GiB to 1 TiB/],
  ['1025GiB,sm_86', /a card of 1 GiB to 1 TiB/],
  ['10TiB,sm_86', /a card of 1 GiB to 1 TiB/],
  ['10PiB,sm_86', /a size and an architecture/],
  ['1e3GiB,sm_86', /a size and an architecture/],
  ['NaNGiB,sm_86', /a size and an architecture/],
  ['12GiB,sm_70', /an architecture that LibTorch's build has kernels for, sm_75, .*"12GiB,sm_70"/],
  ['12GiB,sm_8', /a size and an architecture/],
  ['12GiB,sm_86,name=x', /a size and an architecture/],
  ['rtx3060,totalBytes=1', /a size and an architecture/],
  ['rtx3060=1', /knows no card "rtx3060=1"/],
  ['12GiB,\nsm_86', /a size and an architecture/],
  ['rtx\u00003060', /knows no card "rtx\\u00003060"/],
  ['\u001b[31mrtx3060', /knows no card "\\u001b\[31mrtx3060"/],
  ['', /knows no card ""/],
  ['rtx3061', /did you mean rtx3060\?/],
  ['RTX309', /did you mean rtx3090\?/],
  ['h10', /did you mean h100\?/],
  [3060, /the name of a card for `simulate` but received 3060/],
  [undefined, /received nothing/],
  [null, /received null/],
  [{ key: 'rtx3060' }, /the name of a card/],
]

for (const [text, expected] of NONSENSE) {
  test(`${JSON.stringify(text)} is no card`, async () => {
    await rejects(() => cardNamed(text), 'ERR_CONFIG', expected)
  })
}

test('a very long name is cut in the message', async () => {
  for (const text of ['x'.repeat(1e6), '1'.repeat(1e6), `${'9'.repeat(1e6)}GiB,sm_86`]) {
    const { message } = await rejects(() => cardNamed(text), 'ERR_CONFIG')
    assert.ok(message.length < 300, `${message.length} characters`)
  }
})

test('the hint of an unknown card lists all, and how to describe another', async () => {
  const { hint } = await rejects(() => cardNamed('voodoo2'), 'ERR_CONFIG')
  for (const { key } of CARDS) assert.ok(hint?.includes(key), key)
  assert.match(hint ?? '', 'sim:12GiB,sm_86')
})

test.run()
