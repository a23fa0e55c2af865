// `localformer doctor`: prints what lib/doctor/doctor.ts finds, or with `--gpu` what
// lib/doctor/gpu/check-gpu.ts does; exit code 1 where anything failed.
import type { Argv } from 'yargs'
import { LocalformerError } from '../../base/errors.js'
import type { Check } from '../../doctor/check.js'
import { checkWanted, diagnose } from '../../doctor/doctor.js'
import { checkGpu } from '../../doctor/gpu/check-gpu.js'
import { type Command, type GlobalOptions, printJson, printLine, printText } from '../command.js'
import { formatGpuReport } from '../gpu-text.js'
import { untilInterrupted } from '../interrupt.js'
import { checkOutputFile, writeOutputFile } from '../output-file.js'
import { commandProgress } from '../progress.js'

interface DoctorArguments {
  gpu: boolean
  quick: boolean
  output: string | undefined
}

export const doctorCommand: Command<DoctorArguments> = {
  command: 'doctor',
  describe: 'Check this machine and say what mends it',
  builder: (yargs) =>
    yargs
      .option('gpu', {
        type: 'boolean',
        default: false,
        describe:
          'Settle on a GPU what a machine without one cannot, in ten minutes at most; without a GPU ' +
          'what a simulated card answers (--device sim:NAME)',
      })
      .option('quick', {
        type: 'boolean',
        default: false,
        describe: 'With --gpu: a small network and small batches, to see whether it runs',
      })
      .option('output', {
        type: 'string',
        requiresArg: true,
        describe: 'With --gpu: file that receives the JSON document too',
      })
      .example('$0 doctor --gpu --output gpu.json', 'the first hour on a GPU')
      .epilogue(
        'One line each: ok, warn (works, though not everything or not well) or fail, and behind the ' +
          'arrow what mends it. LibTorch and the addon are tried in a process of their own. With ' +
          '--gpu every item runs in one; left is what this device cannot answer.',
      ) as unknown as Argv<GlobalOptions & DoctorArguments>,
  handler: async (options) => {
    if (options.gpu) return checkDevice(options)
    for (const name of ['quick', 'output'] as const) {
      if (!options[name]) continue
      throw new LocalformerError('ERR_USAGE', `\`--${name}\` goes with \`--gpu\``)
    }
    const found = await diagnose()
    const checks = [...found, ...checkWanted(options.device, found)]
    const ok = checks.every(({ status }) => status !== 'fail')
    if (options.json) printJson({ schema: 1, ok, checks })
    else for (const check of checks) printLine(lineOf(check))
    if (!ok) process.exitCode = 1
  },
}

async function checkDevice(options: GlobalOptions & DoctorArguments): Promise<void> {
  const { device, quick, output } = options
  if (output !== undefined) await checkOutputFile(output)
  const progress = commandProgress(options)
  await untilInterrupted(async (signal) => {
    const report = await checkGpu({
      ...{ device, quick, signal },
      onProgress: ({ title, done, total }) =>
        progress.update({ label: title, done, total, unit: 'items' }),
    }).finally(() => progress.finish())
    if (options.json) printJson(report)
    else printText(formatGpuReport(report))
    if (output !== undefined) await writeOutputFile(output, `${JSON.stringify(report, null, 2)}\n`)
    if (!report.ok) process.exitCode = 1
  })
}

function lineOf({ name, status, detail, fix }: Check): string {
  return `${status.padEnd(4)} ${name}: ${detail}${fix === null ? '' : ` -> ${fix}`}`
}
