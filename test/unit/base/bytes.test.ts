// Sizes of memory as people write them.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bytesOf, sizeOf } from '../../../lib/base/bytes.js'
import { rejects } from '../../helpers/expect.js'

test('a number and a unit of 1024 or 1000, however it is written', () => {
  const sizes: [string, number, string][] = [
    ['4GiB', 4 * 2 ** 30, '4GiB'],
    ['512MB', 512e6, '512MB'],
    ['1.5 GB', 1.5e9, '1.5GB'],
    [' 02.50 gib ', 2.5 * 2 ** 30, '2.5GiB'],
    ['1tib', 2 ** 40, '1TiB'],
    ['3 KB', 3000, '3KB'],
    ['7 b', 7, '7B'],
    ['123456', 123_456, '123456B'],
  ]
  for (const [written, bytes, text] of sizes) {
    assert.equal(sizeOf(written), { bytes, text }, written)
    assert.is(bytesOf(written, 'limit'), bytes)
    assert.is(bytesOf(bytes, 'limit'), bytes)
  }
})

const NONSENSE: readonly unknown[] = [
  ...[
    '',
    ' ',
    'GiB',
    '4G',
    '4 gigabytes',
    '-4GiB',
    '+4GiB',
    '4,5GiB',
    '1e3GiB',
    '0x4GiB',
    '4GiB 4GiB',
  ],
  ...['1.5', '1.5B', '9007199254740993', '99999TiB', '4GiB\n', 'Infinity', 'NaN'],
  ...[-1, 1.5, Number.NaN, 2 ** 60, null, undefined, true, {}, [4]],
]

for (const value of NONSENSE) {
  test(`${JSON.stringify(value)} is no size`, async () => {
    await rejects(
      () => bytesOf(value, 'limit'),
      'ERR_CONFIG',
      /^Expected a size such as 4GiB for `limit` but received /,
    )
  })
}

test('what is less than it may be says how much that is', async () => {
  await rejects(() => bytesOf('4', 'limit', 2 ** 20), 'ERR_CONFIG', 'of at least 1048576 bytes,')
  assert.is(bytesOf('1MiB', 'limit', 2 ** 20), 2 ** 20)
})

test.run()
