// `localformer report`: writes report.html of a run, or of several runs side by side.
import type { Argv } from 'yargs'
import { measureTimelines } from '../../measure/measure-timelines.js'
import { readRun } from '../../report/run-data.js'
import { writeReport } from '../../report/write-report.js'
import { type Command, type GlobalOptions, printJson, printLine } from '../command.js'
import { comparisonProgress } from '../comparison.js'
import { untilInterrupted } from '../interrupt.js'
import { checkOutputFile } from '../output-file.js'
import { commandProgress } from '../progress.js'

interface ReportArguments {
  runs: string[]
  output: string | undefined
  timeline: boolean
}

export const reportCommand: Command<ReportArguments> = {
  command: 'report <runs..>',
  describe: 'Write what happened in runs as one HTML file',
  builder: (yargs) =>
    yargs
      .positional('runs', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Run folders; several are compared',
      })
      .option('output', {
        type: 'string',
        requiresArg: true,
        describe: 'File to write; default: report.html in the run folder, or comparison.html',
      })
      .option('timeline', {
        type: 'boolean',
        default: false,
        describe: "Measure a step's memory first, end to end and as the run, in fresh processes",
      })
      .example('$0 report runs/first', 'writes runs/first/report.html')
      .example('$0 report runs/a runs/b', 'both in one') as unknown as Argv<
      GlobalOptions & ReportArguments
    >,
  handler: async (options) => {
    const { runs, output } = options
    // Before anything is measured.
    if (output !== undefined) await checkOutputFile(output)
    for (const run of runs) await readRun(run)
    if (options.timeline) {
      const progress = commandProgress(options)
      await untilInterrupted(async (signal) => {
        for (const run of runs) {
          await measureTimelines(run, {
            ...(options.givenDevice === undefined ? {} : { device: options.givenDevice }),
            signal,
            onProgress: comparisonProgress(options, progress),
          }).finally(() => progress.finish())
        }
      })
    }
    const file = await writeReport(runs, output === undefined ? {} : { output })
    if (options.json) printJson({ schema: 1, runs, report: file })
    else printLine(`Report ${file}`)
  },
}
