#!/usr/bin/env node
// Stands in for node-gyp: its `rebuild` and `build` become `npm run native`. prebuildify calls it
// (PREBUILD_NODE_GYP, set by prebuild.ts), and so does the target of binding.gyp. The options of
// node-gyp that come with it (--target, --devdir, --arch, --release) mean nothing to Node-API.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const command = process.argv[2] ?? 'build'
if (!['build', 'rebuild'].includes(command)) {
  process.stderr.write(`Expected build or rebuild but received ${command}\n`)
  process.exit(2)
}
const options = command === 'rebuild' ? ['--', '--clean'] : []
const { status } = spawnSync('npm', ['run', '--silent', 'native', ...options], {
  cwd: root,
  stdio: 'inherit',
})
process.exitCode = status ?? 1
