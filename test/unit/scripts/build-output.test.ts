// What a native build prints -> progress and the compiler's errors.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isOlder } from '../../../lib/base/version.js'
import { extractErrors, parseStep, wasKilled } from '../../../scripts/lib/build-output.js'
import { requiredCmake } from '../../../scripts/lib/toolchain.js'

test('steps of Ninja and of Make', () => {
  assert.equal(parseStep('[3/27] Building CXX object a.cc.o', 0), { done: 3, total: 27 })
  assert.equal(parseStep('[ 50%] Building CXX object a.cc.o', 30), { done: 15, total: 30 })
  assert.is(parseStep('[ 50%] Building CXX object a.cc.o', 0), undefined)
  assert.is(parseStep('-- The CXX compiler identification is GNU', 30), undefined)
})

const NINJA = `INFO RUN [ 'cmake', '--build' ]
[1/9] Building CXX object a.cc.o
[2/9] Building CXX object b.cc.o
FAILED: b.cc.o
/usr/bin/c++ -Wall -Werror -o b.cc.o -c b.cc
In file included from b.h:3,
                 from b.cc:1:
c.h: In function ‘int f()’:
c.h:12:3: error: ‘x’ was not declared in this scope
   12 |   x = 1;
      |   ^
c.h:10:1: warning: unused
   10 | int y;
[3/9] Building CXX object d.cc.o
ninja: build stopped: subcommand failed.
ERROR OMG Process terminated: 1`

test("only the compiler's errors, with where they come from", () => {
  assert.is(
    extractErrors(NINJA),
    `In file included from b.h:3,
                 from b.cc:1:
c.h: In function ‘int f()’:
c.h:12:3: error: ‘x’ was not declared in this scope
   12 |   x = 1;
      |   ^`,
  )
})

test("Make's own lines are left out", () => {
  const output = `[ 10%] Building CXX object a.cc.o
a.cc:1:1: error: expected ‘;’
    1 | int x
make[2]: *** [CMakeFiles/a.make:76: a.cc.o] Error 1
make: *** [Makefile:91: all] Error 2`
  assert.is(extractErrors(output), 'a.cc:1:1: error: expected ‘;’\n    1 | int x')
})

test('errors of the linker and of CMake', () => {
  const linker = '/usr/bin/ld: a.o: in function f:\na.cc:3: undefined reference to `g()'
  assert.match(extractErrors(linker), /undefined reference to `g/)
  const cmake = `-- Configuring
CMake Error at CMakeLists.txt:20 (message):
  No LibTorch at ''.

  Second paragraph.
-- Configuring incomplete, errors occurred!`
  assert.is(
    extractErrors(cmake),
    "CMake Error at CMakeLists.txt:20 (message):\n  No LibTorch at ''.\n  Second paragraph.",
  )
})

test('the last lines where no error is recognized, never more than a screen of errors', () => {
  const plain = Array.from({ length: 50 }, (_, i) => `line ${i}`)
  assert.is(extractErrors(plain.join('\n')), plain.slice(-20).join('\n'))
  const errors = Array.from({ length: 100 }, (_, i) => `a.cc:${i}:1: error: no`).join('\n')
  assert.is(extractErrors(errors).split('\n').at(-1), '... and 40 more lines')
})

test('tells a killed compiler', () => {
  assert.ok(wasKilled('c++: fatal error: Killed signal terminated program cc1plus'))
  assert.not(wasKilled(NINJA))
})

test("CMake's version: wanted and compared by number", () => {
  assert.is(requiredCmake('cmake_minimum_required(VERSION 3.18)\nproject(x)'), '3.18')
  assert.ok(isOlder('3.9.6', '3.18'))
  assert.not(isOlder('3.18', '3.18.0'))
  assert.not(isOlder('4.0.1', '3.18'))
})

test.run()
