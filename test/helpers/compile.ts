// Small libraries of C++ that are put before a process's own (LD_PRELOAD), compiled when they are first asked for.
import { spawnSync } from 'node:child_process'
import { mkdirSync, renameSync, statSync } from 'node:fs'
import path from 'node:path'
import { DIST } from './child.js'

const ROOT = path.resolve(DIST, '..')

/**
 * The library of a source below the project's root, compiled where the source is newer; undefined where
 * there is no compiler.
 */
export function compileLibrary(source: string, options: readonly string[] = []) {
  const from = path.join(ROOT, source)
  const to = path.join(ROOT, 'build/faults', `${path.basename(path.dirname(source))}.so`)
  const time = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (time(to) > time(from)) return to
  const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find(
    (name) => name && spawnSync(name, ['--version']).status === 0,
  )
  if (compiler === undefined) return undefined
  mkdirSync(path.dirname(to), { recursive: true })
  // Two processes may do so at once.
  const made = `${to}.${process.pid}.tmp`
  const all = ['-std=c++17', '-O1', '-fPIC', '-shared', ...options, from, '-o', made, '-ldl']
  const { status, stderr } = spawnSync(compiler, all)
  if (status !== 0) throw new Error(`${source} does not compile: ${stderr}`)
  renameSync(made, to)
  return to
}
