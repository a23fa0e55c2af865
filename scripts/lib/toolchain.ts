// The tools that a native build needs, checked before it begins, with what to install.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { isOlder } from '../../lib/base/version.js'
import { ROOT, ScriptError } from './script.js'

const INSTALL_HINT = [
  'Install them, for example:',
  '  Debian, Ubuntu  apt-get install g++ cmake ninja-build',
  '  Fedora          dnf install gcc-c++ cmake ninja-build',
  '  Arch            pacman -S gcc cmake ninja',
].join('\n')

export type Generator = 'Ninja' | 'Unix Makefiles'

/**
 * Checks for a compiler, CMake and a build tool.
 *
 * @returns CMake's generator: Ninja where it is installed, else Make.
 * @throws {ScriptError} with everything that is missing.
 */
export function checkToolchain(): Generator {
  const missing: string[] = []
  if (!runs('g++') && !runs('clang++')) missing.push('a C++17 compiler (g++ or clang++)')
  const wanted = requiredCmake(readFileSync(path.join(ROOT, 'CMakeLists.txt'), 'utf8'))
  const cmake = cmakeVersion()
  if (cmake === undefined) missing.push(`CMake ${wanted} or newer`)
  else if (isOlder(cmake, wanted)) missing.push(`CMake ${wanted} or newer (${cmake} is installed)`)
  const hasNinja = runs('ninja')
  if (!hasNinja && !runs('make')) missing.push('Ninja or Make')
  if (missing.length > 0) {
    const message = `The native part cannot be built here. Missing: ${missing.join('; ')}`
    throw new ScriptError(message, { hint: INSTALL_HINT })
  }
  return hasNinja ? 'Ninja' : 'Unix Makefiles'
}

/** The version in `cmake_minimum_required(VERSION ...)`. */
export function requiredCmake(cmakeLists: string): string {
  const version = /cmake_minimum_required\(VERSION (\d+(?:\.\d+)*)/.exec(cmakeLists)?.[1]
  if (version === undefined) throw new ScriptError('CMakeLists.txt names no CMake version')
  return version
}

function cmakeVersion(): string | undefined {
  const { status, stdout } = spawnSync('cmake', ['--version'], { encoding: 'utf8' })
  return status === 0 ? /version (\d+\.\d+(?:\.\d+)?)/.exec(stdout)?.[1] : undefined
}

/** Whether a program can be run at all. */
export function runs(command: string, args: readonly string[] = ['--version']): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}
