// How many cores a process may keep busy, from the files of its control groups.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { coresAllowed, readGroup } from '../../../lib/base/control-group.js'

/** Runs `work` with a folder that stands for `/` and holds these files. */
function withFiles(files: Readonly<Record<string, string>>, work: (root: string) => void) {
  const root = mkdtempSync(path.join(tmpdir(), 'localformer-groups-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.join(root, path.dirname(name)), { recursive: true })
      writeFileSync(path.join(root, name), `${text}\n`)
    }
    work(root)
  } finally {
    rmSync(root, { recursive: true })
  }
}

function allows(cores: number, files: Readonly<Record<string, string>>, there = 64) {
  withFiles(files, (root) => assert.is(coresAllowed(root, there), cores))
}

const UNIFIED = { 'proc/self/cgroup': '0::/outer.slice/inner.scope' }
const outer = 'sys/fs/cgroup/outer.slice/cpu.max'
const inner = 'sys/fs/cgroup/outer.slice/inner.scope/cpu.max'

test('without limits all cores of the affinity are allowed', () => {
  allows(64, {})
  allows(64, UNIFIED)
  allows(64, { ...UNIFIED, [outer]: 'max 100000', [inner]: 'max 100000' })
})

test('a share of time counts for as many cores, rounded up, and for one at least', () => {
  allows(4, { ...UNIFIED, [inner]: '400000 100000' })
  allows(2, { ...UNIFIED, [inner]: '150000 100000' })
  allows(1, { ...UNIFIED, [inner]: '1000 100000' })
  allows(2, { ...UNIFIED, [inner]: '400000 100000' }, 2)
})

test('the tightest of the groups counts', () => {
  allows(3, { ...UNIFIED, [outer]: '300000 100000', [inner]: '800000 100000' })
  allows(8, { ...UNIFIED, [outer]: 'max 100000', [inner]: '800000 100000' })
})

test('in a container that sees its own group alone, that is it', () => {
  allows(4, { 'proc/self/cgroup': '0::/', 'sys/fs/cgroup/cpu.max': '400000 100000' })
  allows(4, { 'proc/self/cgroup': '0::/docker/0a1b', 'sys/fs/cgroup/cpu.max': '400000 100000' })
})

test('version 1, where its controller may stand with others', () => {
  const cgroup = { 'proc/self/cgroup': '5:cpu,cpuacct:/docker/0a1b\n1:name=systemd:/\n0::/' }
  const folder = 'sys/fs/cgroup/cpu/docker/0a1b'
  const files = (quota: string) => ({
    ...cgroup,
    [`${folder}/cpu.cfs_quota_us`]: quota,
    [`${folder}/cpu.cfs_period_us`]: '100000',
    'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1',
    'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
  })
  allows(3, files('250000'))
  allows(64, files('-1'))
})

test('files that say nothing sensible limit nothing', () => {
  for (const text of ['', 'many', '0 100000', '100000 0', '100000']) {
    allows(64, { ...UNIFIED, [inner]: text })
  }
})

test('a file is read from the innermost group that has it', () => {
  const files = { ...UNIFIED, 'sys/fs/cgroup/outer.slice/memory.current': '7' }
  withFiles(files, (root) => {
    assert.is(readGroup('memory.current', root), '7')
    assert.is(readGroup('memory.max', root), undefined)
  })
})

test.run()
