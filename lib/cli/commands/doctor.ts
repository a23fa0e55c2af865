// `localformer doctor`: prints what lib/doctor/doctor.ts finds; exit code 1 where anything failed.
import type { Check } from '../../doctor/check.js'
import { checkWanted, diagnose } from '../../doctor/doctor.js'
import { type Command, printJson, printLine } from '../command.js'

export const doctorCommand: Command<object> = {
  command: 'doctor',
  describe: 'Check this machine and say what mends it',
  builder: (yargs) =>
    yargs.epilogue(
      'One line each: ok, warn (works, though not everything or not well) or fail, and behind the ' +
        'arrow what mends it. LibTorch and the addon are tried in a process of their own.',
    ),
  handler: async (options) => {
    const found = await diagnose()
    const checks = [...found, ...checkWanted(options.device, found)]
    const ok = checks.every(({ status }) => status !== 'fail')
    if (options.json) printJson({ schema: 1, ok, checks })
    else for (const check of checks) printLine(lineOf(check))
    if (!ok) process.exitCode = 1
  },
}

function lineOf({ name, status, detail, fix }: Check): string {
  return `${status.padEnd(4)} ${name}: ${detail}${fix === null ? '' : ` -> ${fix}`}`
}
