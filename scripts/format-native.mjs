// Formats the C++ sources by .clang-format: `node scripts/format-native.mjs [--check] [PATH...]`.
// --check only reports, with exit code 1. Plain JavaScript: `npm run check` compiles nothing first.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

// What another version makes of the same style differs here and there.
const MAJOR_VERSION = '14'
const FOLDERS = ['native', 'test']
const EXTENSIONS = ['.h', '.c', '.cc']

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const isCheck = process.argv.includes('--check')
const paths = process.argv.slice(2).filter((argument) => argument !== '--check')

function findFormatter() {
  const others = []
  for (const command of [`clang-format-${MAJOR_VERSION}`, 'clang-format']) {
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' })
    if (status !== 0) continue
    const version = /version (\d+)/.exec(stdout)?.[1]
    if (version === MAJOR_VERSION) return { command }
    others.push(version)
  }
  return { reason: others.length ? `is version ${others[0]}` : 'is not installed' }
}

function filesBelow(place) {
  if (statSync(place).isFile()) return [place]
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && EXTENSIONS.includes(path.extname(entry.name)))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

function isFormatted(command, file) {
  const result = spawnSync(command, ['--dry-run', '-Werror', file], { encoding: 'utf8' })
  if (result.status !== 0 && !result.stderr.includes('clang-format-violations')) {
    throw new Error(`clang-format failed on ${file}:\n${result.stderr}`)
  }
  return result.status === 0
}

function main() {
  const { command, reason } = findFormatter()
  if (!command) {
    const wanted = `the C++ sources are formatted with version ${MAJOR_VERSION}`
    process.stderr.write(`format-native: skipped, clang-format ${reason} (${wanted})\n`)
    return 0
  }
  const places = paths.length ? paths : FOLDERS.map((folder) => path.join(root, folder))
  const files = places.flatMap((place) => filesBelow(path.resolve(place)))
  const changed = files.filter((file) => !isFormatted(command, file))
  const names = changed.map((file) => `  ${path.relative(root, file)}\n`).join('')
  if (isCheck) {
    if (changed.length === 0) return 0
    process.stderr.write(`format-native: not formatted (\`npm run format\`):\n${names}`)
    return 1
  }
  for (const file of changed) spawnSync(command, ['-i', file], { stdio: 'inherit' })
  process.stderr.write(
    `format-native: ${changed.length} of ${files.length} files changed\n${names}`,
  )
  return 0
}

process.exitCode = main()
