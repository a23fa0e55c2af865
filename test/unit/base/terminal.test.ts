// Text for a terminal and cells of CSV: what comes from elsewhere stays text.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { csvCell, csvLine } from '../../../lib/base/csv.js'
import { safeJson, safeLine, safeText } from '../../../lib/base/terminal.js'

const everyCharacter = Array.from({ length: 0x2100 }, (_, code) => String.fromCharCode(code))

test('control characters and those that turn text round are shown by their numbers', () => {
  assert.is(
    safeText('a\u001b[31mb\u0007\u009b\u007f\u202e'),
    'a\\u001b[31mb\\u0007\\u009b\\u007f\\u202e',
  )
  assert.is(safeText('two\r\nlines\tof text'), 'two\nlines\tof text')
  assert.is(safeText('back\rto the start'), 'back\\u000dto the start')
  assert.is(safeLine('two\nlines\t'), 'two\\u000alines\\u0009')
  const kept = everyCharacter.filter((character) => safeLine(character) === character)
  // C0, DEL and C1, and those that direct text or end lines.
  assert.is(everyCharacter.length - kept.length, 65 + 14)
})

test('what people write stays as it is', () => {
  for (const text of ['Ärger über Öl', '猫 と 犬', 'قطة', '👩‍🚀 e\u0301', 'a…b – “c”', '\ufeff']) {
    assert.is(safeLine(text), text)
  }
})

test('JSON stays the same document', () => {
  const value = { [everyCharacter.join('')]: everyCharacter.join('') }
  const text = safeJson(value)
  assert.is(safeText(text), text)
  assert.equal(JSON.parse(text), value)
})

test('a cell of text is never a formula, and numbers are numbers', () => {
  assert.is(csvCell('cat'), 'cat')
  assert.is(csvCell('a,b'), '"a,b"')
  assert.is(csvCell('say "hi"\n'), '"say ""hi""\n"')
  for (const start of ['=', '+', '-', '@', '\t', '\r']) {
    assert.match(csvCell(`${start}1+1`), /^"?'/, JSON.stringify(start))
  }
  assert.is(csvCell('=HYPERLINK("x")'), `"'=HYPERLINK(""x"")"`)
  assert.is(csvCell(' =1'), "' =1")
  assert.is(csvCell(-1.5), '-1.5')
  assert.is(csvCell(null), '')
  assert.is(csvCell(undefined), '')
  assert.is(csvLine(['a', -1, null]), 'a,-1,\r\n')
})

test.run()
