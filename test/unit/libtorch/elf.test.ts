// Reading a shared library's machine and needs without loading it.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readSharedLibrary, X86_64 } from '../../../lib/libtorch/elf.js'
import { elf, makeSandbox } from '../../helpers/fake-libtorch.js'

test('a real one: the running Node.js needs the C library', () => {
  const found = readSharedLibrary(process.execPath)
  assert.is(found?.machine, X86_64)
  assert.ok(found?.needed.includes('libc.so.6'), found?.needed.join(' '))
})

test('what it needs and where it looks are read, in their order', () => {
  const sandbox = makeSandbox()
  const file = path.join(sandbox.folder, 'lib.so')
  const needed = ['libb.so.2', 'liba.so']
  const searchPath = ['$ORIGIN/../b', '/a']
  writeFileSync(file, elf({ needed, searchPath }))
  assert.equal(readSharedLibrary(file), { machine: X86_64, needed, searchPath })
  writeFileSync(file, elf({ needed }))
  assert.equal(readSharedLibrary(file), { machine: X86_64, needed, searchPath: [] })
  sandbox.remove()
})

test('another machine is told, another or a cut file is undefined', () => {
  const sandbox = makeSandbox()
  const read = (data: Buffer | string) => {
    const file = path.join(sandbox.folder, 'lib.so')
    writeFileSync(file, data)
    return readSharedLibrary(file)
  }
  assert.equal(read(elf({ machine: 183 })), { machine: 183, needed: [], searchPath: [] })
  assert.is(read(''), undefined)
  assert.is(read('#!/bin/sh\n'.repeat(20)), undefined)
  assert.is(read(elf().subarray(0, 40)), undefined)
  sandbox.remove()
})

test.run()
