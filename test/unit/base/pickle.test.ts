// Pickles of plain values, as Python and LibTorch write them, and what is none.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PickleError, readPickle } from '../../../lib/base/pickle.js'

// What pickle.dumps of Python 3.11 makes of DOCUMENT, `one` and `other` being the same list, by protocol.
const PICKLES: Readonly<Record<string, readonly string[]>> = {
  2: [
    'gAJ9cQAoWAQAAABpbnRzcQFdcQIoSwFK/////0v/TQABTf//SgAAAQBK////f0oAAACAigUAAACAAIoGAAAAAAAB',
    'igYAAAAAAP+KBgDAREpUf2VYBQAAAGZsb2F0cQNHP/gAAAAAAABYBgAAAHR1cGxlc3EEXXEFKClLAYVxBksBSwKG',
    'cQdLAUsCSwOHcQgoSwFLAksDSwR0cQllWAQAAABub25lcQpOWAUAAABib29sc3ELXXEMKIiJZVgEAAAAdGV4dHEN',
    'WAUAAADDqeKCrHEOWAUAAABlbXB0eXEPXXEQKH1xEV1xEmVYAwAAAG9uZXETXXEUSwFhWAUAAABvdGhlcnEVaBR1',
    'Lg==',
  ],
  3: [
    'gAN9cQAoWAQAAABpbnRzcQFdcQIoSwFK/////0v/TQABTf//SgAAAQBK////f0oAAACAigUAAACAAIoGAAAAAAAB',
    'igYAAAAAAP+KBgDAREpUf2VYBQAAAGZsb2F0cQNHP/gAAAAAAABYBgAAAHR1cGxlc3EEXXEFKClLAYVxBksBSwKG',
    'cQdLAUsCSwOHcQgoSwFLAksDSwR0cQllWAQAAABub25lcQpOWAUAAABib29sc3ELXXEMKIiJZVgEAAAAdGV4dHEN',
    'WAUAAADDqeKCrHEOWAUAAABlbXB0eXEPXXEQKH1xEV1xEmVYAwAAAG9uZXETXXEUSwFhWAUAAABvdGhlcnEVaBR1',
    'Lg==',
  ],
  4: [
    'gASV0wAAAAAAAAB9lCiMBGludHOUXZQoSwFK/////0v/TQABTf//SgAAAQBK////f0oAAACAigUAAACAAIoGAAAA',
    'AAABigYAAAAAAP+KBgDAREpUf2WMBWZsb2F0lEc/+AAAAAAAAIwGdHVwbGVzlF2UKClLAYWUSwFLAoaUSwFLAksD',
    'h5QoSwFLAksDSwR0lGWMBG5vbmWUTowFYm9vbHOUXZQoiIlljAR0ZXh0lIwFw6nigqyUjAVlbXB0eZRdlCh9lF2U',
    'ZYwDb25llF2USwFhjAVvdGhlcpRoFHUu',
  ],
  5: [
    'gAWV0wAAAAAAAAB9lCiMBGludHOUXZQoSwFK/////0v/TQABTf//SgAAAQBK////f0oAAACAigUAAACAAIoGAAAA',
    'AAABigYAAAAAAP+KBgDAREpUf2WMBWZsb2F0lEc/+AAAAAAAAIwGdHVwbGVzlF2UKClLAYWUSwFLAoaUSwFLAksD',
    'h5QoSwFLAksDSwR0lGWMBG5vbmWUTowFYm9vbHOUXZQoiIlljAR0ZXh0lIwFw6nigqyUjAVlbXB0eZRdlCh9lF2U',
    'ZYwDb25llF2USwFhjAVvdGhlcpRoFHUu',
  ],
}

const DOCUMENT = {
  ints: [
    ...[1, -1, 255, 256, 65535, 65536, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 40, -(2 ** 40)],
    140_000_000_000_000,
  ],
  float: 1.5,
  tuples: [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]],
  none: null,
  bools: [true, false],
  text: 'é€',
  empty: [{}, []],
  one: [1],
  other: [1],
}

const bytesOf = (protocol: string) => Buffer.from(PICKLES[protocol]?.join('') ?? '', 'base64')

for (const protocol of Object.keys(PICKLES)) {
  test(`protocol ${protocol} is read, and what stands twice is one`, () => {
    const value = readPickle(bytesOf(protocol)) as unknown as typeof DOCUMENT
    assert.equal(value, DOCUMENT)
    assert.is(value.one, value.other)
  })

  test(`protocol ${protocol} that is cut at any byte is refused`, () => {
    const bytes = bytesOf(protocol)
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => readPickle(bytes.subarray(0, length)), isRefusal, `${length} bytes`)
    }
  })

  test(`protocol ${protocol} with any byte changed is read or refused`, () => {
    const bytes = bytesOf(protocol)
    for (let at = 0; at < bytes.length; at++) {
      for (let value = 0; value < 256; value++) {
        const damaged = Buffer.from(bytes)
        damaged[at] = value
        try {
          readPickle(damaged)
        } catch (error) {
          assert.ok(isRefusal(error as Error), `${at}: ${(error as Error).stack}`)
        }
      }
    }
    assert.not.ok('polluted' in {})
  })
}

function isRefusal(error: Error): boolean {
  return error instanceof PickleError
}

const text = (word: string) => `X${String.fromCharCode(word.length)}\0\0\0${word}`

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['a function that it names', '\x80\x02cos\nsystem\n.', /no plain value \(0x63\) at byte 2/],
  ['a function from the stack', `\x80\x04${text('os')}${text('system')}\x93.`, /0x93/],
  ['a call', '\x80\x02)R.', /0x52/],
  ['an object', '\x80\x02)\x81.', /0x81/],
  ['a state', '\x80\x02}}b.', /0x62/],
  ['a persistent id', '\x80\x02)Q.', /0x51/],
  ['bytes', '\x80\x03C\x01a.', /0x43/],
  ['a set', '\x80\x04\x8f.', /0x8f/],
  ['protocol 0', '(lp0\n.', /does not begin as a pickle/],
  ['protocol 1', '\x80\x01N.', /protocol 1 /],
  ['protocol 6', '\x80\x06N.', /protocol 6 /],
  ['nothing', '', /does not begin/],
  ['no value', '\x80\x02.', /more or less than one value/],
  ['two values', '\x80\x02NN.', /more or less than one value/],
  ['no mark', '\x80\x02]e.', /no mark/],
  ['what lies below a mark', '\x80\x02]N(a.', /too few values/],
  ['an entry of no list', '\x80\x02NNa.', /no list/],
  ['an entry of no dictionary', '\x80\x02]NNs.', /no dictionary/],
  ['a key without a value', '\x80\x02}(Nu.', /a key without a value/],
  ['a number as key', '\x80\x02}K\x01Ns.', /a key that is no name/],
  ['a prototype', `\x80\x02}${text('__proto__')}}s.`, /a key that is no name/],
  ['what was not kept', '\x80\x02h\x07.', /nothing kept as 7/],
  ['keeping nothing', '\x80\x02q\x07.', /no value/],
  ['text that is longer than the file', '\x80\x02X\xff\xff\xff\xffa.', /ends in the midst/],
  ['text of 2^64 bytes', '\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.', /ends in the midst/],
  ['text that is no UTF-8', '\x80\x02X\x01\0\0\0\xff.', /no UTF-8/],
  ['a number of 200 bytes', `\x80\x02\x8a\xc8${'\0'.repeat(200)}.`, /a number of 200 bytes/],
  ['a number of -1 bytes', '\x80\x02\x8b\xff\xff\xff\xff.', /a number of -1 bytes/],
]

for (const [what, written, message] of REFUSED) {
  test(`${what} is refused`, () => {
    assert.throws(() => readPickle(Buffer.from(written, 'latin1')), message)
  })
}

test('random bytes are read or refused', () => {
  let state = 1
  const next = () => {
    state = (state * 48_271) % 0x7fff_ffff
    return state
  }
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(Array.from({ length: 2 + (next() % 60) }, () => next() & 255))
    bytes[0] = 0x80
    bytes[1] = 2 + (next() % 4)
    try {
      readPickle(bytes)
    } catch (error) {
      assert.ok(isRefusal(error as Error), (error as Error).stack)
    }
  }
})

test.run()
