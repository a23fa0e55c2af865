// Where a benchmark runs.
import { spawnSync } from 'node:child_process'
import { cpus, loadavg, totalmem } from 'node:os'
import { coresAllowed } from '../../../lib/base/control-group.js'
import { ROOT } from '../../../scripts/lib/script.js'
import type { Result } from './result.js'

export function readMachine(): Result['machine'] {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: coresAllowed(),
    memoryBytes: totalmem(),
    load: loadavg()[0] ?? 0,
  }
}

export function readCommit(): string | null {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' })
  const { status, stdout } = git('rev-parse', '--short=12', 'HEAD')
  if (status !== 0) return null
  const isClean = git('status', '--porcelain', '--untracked-files=no').stdout.trim() === ''
  return `${stdout.trim()}${isClean ? '' : '+'}`
}
