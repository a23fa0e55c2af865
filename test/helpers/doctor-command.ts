// `localformer doctor` as a command, in an environment of its own.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { DIST } from './child.js'

/** The compiled command line. */
export const MAIN = path.join(DIST, 'lib/cli/main.js')

export function doctor(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'doctor', ...args], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  return { code: status, stdout, stderr }
}
