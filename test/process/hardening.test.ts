// What ships is linked and compiled as a distribution's own packages are: nothing in it can be
// overwritten to call something else, and what is written past its end is noticed.
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findAddon } from '../../lib/native/load.js'

const folder = findAddon()
const libraries = readdirSync(folder).filter((name) => /\.(so|node)$/.test(name))
const withReadelf = hasReadelf() ? test : test.skip

function hasReadelf(): boolean {
  try {
    execFileSync('readelf', ['--version'])
    return true
  } catch {
    console.log('skipped: there is no readelf')
    return false
  }
}

function readelf(option: string, name: string): string {
  return execFileSync('readelf', ['--wide', option, path.join(folder, name)], { encoding: 'utf8' })
}

withReadelf('every symbol is bound at load, and the table of them read-only from then on', () => {
  assert.ok(libraries.length >= 2)
  for (const name of libraries) {
    assert.match(readelf('--dynamic', name), /BIND_NOW|Flags: .*\bNOW\b/, name)
    const segments = readelf('--program-headers', name)
    assert.match(segments, /GNU_RELRO/, name)
    assert.match(segments, /GNU_STACK .* RW /, name)
  }
})

withReadelf(
  'a stack that was overwritten is noticed, and so are the C functions that would',
  () => {
    for (const name of libraries) {
      // The stand-ins but one keep no list on the stack: there is nothing in them to guard.
      if (/_sim_(?!cudart\.)/.test(name)) continue
      assert.match(readelf('--dyn-syms', name), '__stack_chk_fail', name)
    }
    assert.match(readelf('--dyn-syms', 'localformer.node'), /__\w+_chk/)
  },
)

test.run()
