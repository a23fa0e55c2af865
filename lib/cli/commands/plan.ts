// `localformer plan`: will it fit, on which card, with which batch?
import type { Argv } from 'yargs'
import { LocalformerError } from '../../base/errors.js'
import { definedOf } from '../../base/validate.js'
import type { PresetName } from '../../config/preset-names.js'
import type { ResolvedConfig } from '../../config/resolve.js'
import { changeRun, type RunParts } from '../../config/run-parts.js'
import { cardOfDevice, resolveDevice } from '../../device/device.js'
import { type PlanResult, plan } from '../../plan/plan.js'
import type { PlanRow } from '../../plan/plan-row.js'
import { planRanks, type RankRow } from '../../plan/ranks.js'
import { gpuOfDevice } from '../../plan/target.js'
import { planReport } from '../../report/plan-report.js'
import {
  type Command,
  DOES_NOT_FIT,
  type GlobalOptions,
  note,
  printJson,
  printText,
} from '../command.js'
import { commandLineOf, configOf, configOptions, runPartsOfFlags } from '../config-flags.js'
import { untilInterrupted } from '../interrupt.js'
import { type MemoryLimitArguments, memoryLimitOption } from '../memory-limit.js'
import { checkOutputFile, writeOutputFile } from '../output-file.js'
import { formatPlan } from '../plan-text.js'
import { commandProgress } from '../progress.js'
import { formatRanks } from '../ranks-text.js'

interface PlanArguments extends MemoryLimitArguments {
  config: string | undefined
  preset: PresetName | undefined
  run: string[] | undefined
  gpu: string[] | undefined
  classes: number | undefined
  acceptTight: boolean
  output: string | undefined
  html: string | undefined
  ranks: string | undefined
  link: string
}

export const planCommand: Command<PlanArguments> = {
  command: 'plan',
  describe: 'Tell whether training fits a card, which batch does, and what to choose',
  builder: (yargs) => {
    const { run, ...others } = configOptions()
    return yargs
      .options(others)
      .option('run', {
        ...run,
        array: true,
        describe:
          'What is planned, a run spec; may be given several times. Without one, and without --config and --preset, every sensible configuration is tried and ranked',
      })
      .options(memoryLimitOption)
      .options({
        gpu: {
          type: 'string',
          array: true,
          requiresArg: true,
          describe:
            'Card: rtx3060, h100, or by size and architecture, 24GiB or 12GiB,sm_86; may be given several times',
        },
        classes: {
          type: 'number',
          requiresArg: true,
          describe: "Number of classes; default: the data set's",
        },
        'accept-tight': {
          type: 'boolean',
          default: false,
          describe: 'Exit with 0 for what is tight, too',
        },
        output: {
          type: 'string',
          requiresArg: true,
          describe: 'File that receives the JSON document too',
        },
        html: { type: 'string', requiresArg: true, describe: 'File that receives a page' },
        ranks: {
          type: 'string',
          requiresArg: true,
          describe:
            'What so many processes on the CPU would take instead, 1,2,4; both ways of sharing',
        },
        link: {
          type: 'string',
          requiresArg: true,
          default: '10Gbit/s',
          describe: 'With --ranks: between two of them, 10Gbit/s, 1GB/s or nvlink',
        },
      })
      .example(
        '$0 plan --gpu rtx3060 --run paper:4 --image-size 224',
        'one configuration, one card',
      )
      .example(
        '$0 plan --gpu rtx3060 --variant base --image-size 224 --batch-size 64',
        'what fits, the fastest first',
      )
      .example(
        '$0 plan --ranks 1,2,4 --run paper:4,split=timed --image-size 224',
        'several processes',
      )
      .example(
        '$0 plan --device cpu --memory-limit 8GiB --run backprop',
        'on the processor',
      ) as unknown as Argv<GlobalOptions & PlanArguments>
  },
  handler: async (options) => {
    const { output, html } = options
    if (output !== undefined) await checkOutputFile(output)
    if (html !== undefined) await checkOutputFile(html, '--html', '.html')
    const gpus = gpusOf(options)
    const isSearch = [options.run, options.config, options.preset].every((one) => one === undefined)
    // The device is what is planned for, not what the configuration says.
    const { config, preset } = options
    const without = { ...options, config, preset, run: undefined, givenDevice: undefined }
    const resolved = await configOf(without)
    const parts = runPartsOfFlags(options)
    if (options.ranks !== undefined) return tellRanks(options, resolved, parts)
    const progress = commandProgress(options)
    if (gpus === undefined) note(options, 'Planning for the CPU; a card is named with --gpu')
    await untilInterrupted(async (signal) => {
      const result = await plan(
        { ...resolved.config, run: isSearch ? changeRun('paper', parts) : resolved.spec.text },
        {
          ...(gpus === undefined ? {} : { gpus }),
          ...(options.run === undefined
            ? {}
            : { runs: options.run.map((run) => changeRun(run, parts)) }),
          ...(options.classes === undefined ? {} : { classes: options.classes }),
          ...(options.memoryLimit === undefined ? {} : { memoryLimit: options.memoryLimit }),
          ...(isSearch ? { search: parts } : {}),
          signal,
          onProgress: ({ spec, target, tried, done, total }) =>
            progress.update({
              ...{ label: `Planning for ${target}`, done, total, unit: 'configurations' },
              detail: isSearch ? spec : `${spec}, ${tried} tried`,
            }),
        },
      ).finally(() => progress.finish())
      if (options.json) printJson(result)
      else printText(formatPlan(result, (row) => commandOf(options, row)))
      if (output !== undefined) {
        await writeOutputFile(output, `${JSON.stringify(result, null, 2)}\n`)
      }
      if (html !== undefined) await writeOutputFile(html, planReport(result), '--html')
      if (!isEnough(result, options.acceptTight)) process.exitCode = DOES_NOT_FIT
    })
  },
}

async function tellRanks(
  options: GlobalOptions & PlanArguments,
  { config, spec }: ResolvedConfig,
  parts: RunParts,
): Promise<void> {
  const { gpu, link, html, output, ranks: list = '' } = options
  if (gpu !== undefined || html !== undefined) {
    throw new LocalformerError(
      'ERR_USAGE',
      '`--ranks` is for processes on the CPU, as text or JSON',
      {
        hint: 'Leave out --gpu and --html.',
      },
    )
  }
  const ranks = list.split(',').map((one) => (one.trim() === '' ? Number.NaN : Number(one)))
  const runs = (options.run ?? [spec.text]).map((run) => changeRun(run, parts))
  await untilInterrupted(async (signal) => {
    const rows: RankRow[] = []
    for (const run of runs) {
      note(options, `Timing the modules of ${run}`)
      const { classes } = options
      const { threads } = config
      const own = { ranks, link, signal, ...definedOf({ classes, threads }) }
      rows.push(...(await planRanks({ ...config, run }, own)))
    }
    const document = { schema: 1, link, rows }
    if (options.json) printJson(document)
    else printText(formatRanks(rows, link))
    if (output !== undefined)
      await writeOutputFile(output, `${JSON.stringify(document, null, 2)}\n`)
  })
}

/** Cards to plan for; undefined: the CPU. */
function gpusOf({ gpu, device }: GlobalOptions & PlanArguments): string[] | undefined {
  if (gpu !== undefined) return gpu
  const card = cardOfDevice(device)
  if (card !== undefined) return [card.key]
  const { name: resolved } = resolveDevice(device)
  return resolved === 'cpu' ? undefined : [gpuOfDevice(resolved)]
}

/** Of a search one that fits each card is enough; else every row has to. */
function isEnough({ rows, targets, isSearch }: PlanResult, acceptsTight: boolean): boolean {
  const fits = ({ verdict }: PlanRow) => verdict === 'fits' || (acceptsTight && verdict === 'tight')
  if (!isSearch) return rows.every(fits)
  return targets.every((name) => rows.some((row) => row.target === name && fits(row)))
}

/** What trains a row: the flags that were given, and its run spec. */
function commandOf(options: GlobalOptions & PlanArguments, { spec }: PlanRow): string {
  const { device, memoryLimit } = options
  const flags = [
    ...commandLineOf({ ...options, run: undefined }),
    ...(device === 'cpu' ? ['--device cpu'] : []),
    ...(memoryLimit === undefined ? [] : [`--memory-limit ${memoryLimit}`]),
    `--run ${spec}`,
  ]
  return `npx localformer train ${flags.join(' ')}`
}
