// Every function that LibTorch names of NVIDIA's libraries is exported by the stand-in of that soname,
// with the version that it is asked for, and is of exactly one class; and no stand-in has another.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readSharedLibrary } from '../../lib/libtorch/elf.js'
import { locateLibtorch } from '../../lib/libtorch/locate.js'
import { findAddon } from '../../lib/native/load.js'
import { standIns } from '../../lib/simulated/stand-ins.js'
import { DIST } from '../helpers/child.js'
import { type DynamicSymbol, dynamicSymbols } from '../helpers/elf-symbols.js'

const ROOT = path.dirname(DIST)
const SOURCES = path.join(ROOT, 'native', 'simulated')
const TORCH = path.join(locateLibtorch().root, 'lib')

/** Of each stand-in (`cudart`): the soname in place of which it is opened. */
const SONAMES = new Map(
  [
    ...readFileSync(path.join(ROOT, 'CMakeLists.txt'), 'utf8').matchAll(
      /^add_stand_in\((\w+) (\S+) (\S+)/gm,
    ),
  ].map(([, name = '', soname = '']) => [name, soname]),
)

const EXPORTS = new Map(
  standIns(findAddon()).map((file) => {
    const name = path.basename(file, '.so').replace('liblocalformer_sim_', '')
    return [
      name,
      dynamicSymbols(file).filter(({ isDefined, isFunction }) => isDefined && isFunction),
    ]
  }),
)

/** What the stand-ins share with each other and with the addon. */
const isOurs = (name: string) => /^(sim|localformer_simulated)_/.test(name)

interface Wanted extends DynamicSymbol {
  readonly by: string
}

const LIBRARIES = readdirSync(TORCH).filter((name) => /\.so(\.\d+)?$/.test(name))
const SYMBOLS: Wanted[] = LIBRARIES.flatMap((by) =>
  dynamicSymbols(path.join(TORCH, by)).map((symbol) => ({ ...symbol, by })),
)
const DEFINED = new Set(SYMBOLS.flatMap(({ isDefined, name }) => (isDefined ? [name] : [])))
const isOfSystem = (library: string | undefined) =>
  library !== undefined &&
  /^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|gomp)|ld-linux-x86-64)\.so/.test(library)

/** What no library of LibTorch or of the system has. NVIDIA's functions are C's: none is mangled. */
const NAMED = SYMBOLS.filter(
  ({ isDefined, name, library }) =>
    !isDefined && !DEFINED.has(name) && !isOfSystem(library) && !name.startsWith('_Z'),
)
/** The same without what may be missing. */
const WANTED = NAMED.filter(({ isWeak }) => !isWeak)

/**
 * Named by libraries of Python's torch that this package does not install, libtorch_python.so and
 * libcaffe2_nvrtc.so: a Python with the stand-ins preloaded needs them.
 */
const OF_PYTHON =
  /^(cuFile|nvrtc)[A-Z]|^cu(Module|Link)[A-Z]|^cu(FuncGetAttribute|FuncSetAttribute|LaunchKernel)$|^cuda(LaunchHostFunc|ProfilerStart|ProfilerStop|StreamGetPriority)$|^cudnnGetProperty$/

/** Asked for by name at run time (cudaGetDriverEntryPoint) by the library that holds the texts. */
const ASKED_FOR = new Set(
  ['libc10_cuda.so', 'libtorch_cuda.so', 'libtorch_nvshmem.so'].flatMap((library) =>
    LIBRARIES.includes(library) ? textsOf(path.join(TORCH, library)) : [],
  ),
)

function textsOf(file: string): string[] {
  const found = readFileSync(file)
    .toString('latin1')
    .matchAll(/\0(cu[A-Z]\w+)(?=\0)/g)
  return [...found].map(([, text = '']) => text)
}

test('there is a stand-in for every soname of NVIDIA that LibTorch needs', () => {
  const needed = new Set(
    LIBRARIES.flatMap((name) => readSharedLibrary(path.join(TORCH, name))?.needed ?? []),
  )
  const missing = [...needed].filter(
    (soname) =>
      !isOfSystem(soname) && !LIBRARIES.includes(soname) && ![...SONAMES.values()].includes(soname),
  )
  assert.equal(missing, [])
  assert.equal([...EXPORTS.keys()].sort(), [...SONAMES.keys()].sort())
})

test('every symbol is exported by the stand-in of its soname, with its version', () => {
  assert.ok(WANTED.length > 600, `${WANTED.length} symbols`)
  const missing = WANTED.filter(({ name, version, library }) => {
    const holders = [...EXPORTS].filter(
      ([standIn]) => library === undefined || SONAMES.get(standIn) === library,
    )
    return !holders.some(([, symbols]) =>
      symbols.some((one) => one.name === name && (version ?? one.version) === one.version),
    )
  })
  assert.equal(
    missing.map(({ name, version, library, by }) => `${name}@${version} of ${library} for ${by}`),
    [],
  )
})

test('so is every function of the driver that c10 asks for by name', () => {
  const names = textsOf(path.join(TORCH, 'libc10_cuda.so'))
  assert.ok(names.length > 30, `${names.length} names`)
  const driver = new Set(EXPORTS.get('cuda')?.map(({ name }) => name))
  assert.equal(
    names.filter((name) => !driver.has(name)),
    [],
  )
})

test('no stand-in has a function that LibTorch does not name', () => {
  const named = new Set(NAMED.map(({ name }) => name))
  const dead = [...EXPORTS].flatMap(([standIn, symbols]) =>
    symbols
      .filter(({ name }) => !isOurs(name) && !OF_PYTHON.test(name))
      .filter(({ name }) => !named.has(name) && !ASKED_FOR.has(name))
      .map(({ name }) => `${standIn}: ${name}`),
  )
  assert.equal(dead, [])
})

/** Classes of the functions that a stand-in's sources define, as written there. */
function classesOf(source: string): Map<string, string[]> {
  const classes = new Map<string, string[]>()
  const add = (name: string, kind: string) => {
    classes.set(name, [...(classes.get(name) ?? []), kind])
  }
  // Functions that a macro of the file defines: EXPORT stands in the macro.
  const macros = [...source.matchAll(/^#define (\w+)\(([^)]*)\)((?:.*\\\n)*.*)/gm)]
  const body = source.replace(/^#define (?:.*\\\n)*.*/gm, '')
  for (const [, macro = '', parameters = '', text = ''] of macros) {
    const parameter = parameters.split(',')[0] ?? ''
    const names = [...text.matchAll(/EXPORT [^(]*?\b(\w*?)(?:##)?(\w+)\(/g)]
    for (const [, argument = ''] of body.matchAll(new RegExp(`^${macro}\\((\\w+)`, 'gm'))) {
      for (const [, prefix = '', last = ''] of names) {
        add(last === parameter ? `${prefix}${argument}` : `${prefix}${last}`, 'by hand')
      }
    }
  }
  for (const [, name = ''] of body.matchAll(/^EXPORT [^(]*?(\w+)\(/gm)) add(name, 'by hand')
  for (const [, name = '', signature = ''] of body.matchAll(
    /^NO_OUTPUTS\((\w+),\s*"([^"]*)"\s*\)/gm,
  )) {
    add(name, signature === '' ? 'without its signature' : 'no outputs')
  }
  for (const [, name = ''] of body.matchAll(/^REFUSED(?:_POINTER|_TEXT)?\((\w+)/gm)) {
    add(name, 'refused')
  }
  return classes
}

test('every function is of exactly one class', () => {
  const sources = readFileSync(path.join(ROOT, 'CMakeLists.txt'), 'utf8')
  const counts = new Map<string, number>()
  for (const [standIn, symbols] of EXPORTS) {
    const call = new RegExp(`^add_stand_in\\(${standIn} \\S+ \\S+([^)]*)\\)`, 'm').exec(sources)
    const files = [...(call?.[1]?.matchAll(/(\w+\.c)\b/g) ?? [])].map(([, file = '']) => file)
    assert.ok(files.length > 0, standIn)
    const text = files.map((file) => readFileSync(path.join(SOURCES, file), 'utf8')).join('\n')
    const classes = classesOf(text)
    for (const { name } of symbols.filter(({ name }) => !isOurs(name))) {
      const kinds = classes.get(name) ?? []
      assert.is(kinds.length, 1, `${standIn}: ${name} is ${kinds.join(' and ') || 'in no class'}`)
      assert.is.not(kinds[0], 'without its signature', name)
      counts.set(kinds[0] as string, (counts.get(kinds[0] as string) ?? 0) + 1)
    }
    const exported = new Set(symbols.map(({ name }) => name))
    const unknown = [...classes.keys()].filter((name) => !exported.has(name))
    assert.equal(unknown, [], `${standIn}: written, not exported`)
  }
  assert.equal([...counts.keys()].sort(), ['by hand', 'no outputs', 'refused'])
})

test.run()
