// localformer libtorch install | where | list | remove: prints what lib/libtorch does.
import type { CommandModule } from 'yargs'
import { formatBytes } from '../../base/format.js'
import { installLibtorch } from '../../libtorch/install.js'
import { libtorchCache, locateLibtorch } from '../../libtorch/locate.js'
import { downloadBytes, FLAVORS, type Flavor, MANIFEST } from '../../libtorch/manifest.js'
import { type InstalledLibtorch, listLibtorch, removeLibtorch } from '../../libtorch/receipt.js'
import { type Command, type GlobalOptions, note, printJson, printLine } from '../command.js'
import { untilInterrupted } from '../interrupt.js'
import { commandProgress, installUpdate } from '../progress.js'

const FLAVOR_OPTION = {
  choices: FLAVORS,
  requiresArg: true,
  describe:
    'cpu: what a CPU run needs; simulated: for a simulated CUDA device too; cuda: with the CUDA 13 libraries',
} as const

interface InstallArguments {
  flavor: Flavor | undefined
  from: string | undefined
  sha256: string | undefined
  trust: boolean
  force: boolean
}

const install: Command<InstallArguments> = {
  command: 'install',
  describe: `Install LibTorch ${MANIFEST.version} into the cache`,
  builder: (yargs) =>
    yargs
      .option('flavor', {
        ...FLAVOR_OPTION,
        describe: `${FLAVOR_OPTION.describe} [default: cpu, or what --from holds]`,
      })
      .option('from', {
        type: 'string',
        requiresArg: true,
        describe:
          'A torch wheel, an official LibTorch zip, an unpacked folder (also site-packages/torch) ' +
          'or a URL of a wheel or zip [default: the pip client]',
      })
      .option('sha256', {
        type: 'string',
        requiresArg: true,
        describe: 'Sum that the file of --from has to have, as its publisher names it',
      })
      .option('trust', {
        type: 'boolean',
        default: false,
        describe: 'Take what the URL of --from gives though no sum of it is known',
      })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Replace one that is installed',
      })
      .example('$0 libtorch install', `Download ${formatBytes(downloadBytes('cpu'))} with pip`)
      .example('$0 libtorch install --from torch-2.11.0-....whl', 'Unpack a wheel that is there'),
  async handler(options) {
    const progress = commandProgress(options)
    await untilInterrupted(async (signal) => {
      const result = await installLibtorch({
        flavor: options.flavor,
        from: options.from,
        sha256: options.sha256,
        trust: options.trust,
        force: options.force,
        signal,
        onProgress: (step) => progress.update(installUpdate(step)),
        onNote: (text) => {
          progress.finish()
          note(options, text)
        },
      }).finally(() => progress.finish())
      if (options.json) return printJson({ schema: 1, ...result })
      const state = result.alreadyInstalled ? 'is already installed' : 'is installed'
      printLine(`LibTorch ${result.version} (${result.flavor}) ${state}: ${result.root}`)
      if (result.alreadyInstalled) note(options, '--force replaces it.')
    }, 'interrupted; nothing was installed')
  },
}

interface WhereArguments {
  path: string | undefined
  python: boolean
  flavor: Flavor | undefined
}

const where: Command<WhereArguments> = {
  command: 'where',
  describe: 'Say which LibTorch is used, and by which rule',
  builder: (yargs) =>
    yargs
      .option('path', {
        type: 'string',
        requiresArg: true,
        describe: 'Look there and nowhere else',
      })
      .option('python', {
        type: 'boolean',
        default: false,
        describe: "After every other place, take the torch of the active Python's packages",
      })
      .option('flavor', { ...FLAVOR_OPTION, describe: 'Which one of the cache' })
      .epilogue(
        'Looked at in this order: --path, LOCALFORMER_LIBTORCH, LIBTORCH, the cache, and with ' +
          '--python the active Python. The first that is set decides.',
      ),
  handler(options) {
    const { path, python, flavor } = options
    const location = locateLibtorch({ path, python, flavor })
    if (options.json) return printJson({ schema: 1, ...location })
    printLine(`LibTorch ${location.version} (${location.flavor}), found by: ${location.source}`)
    printLine(location.root)
  },
}

const list: Command<unknown> = {
  command: 'list',
  describe: 'List what is installed and what can be',
  handler(options) {
    const installed = listLibtorch()
    const available = FLAVORS.map((flavor) => ({
      flavor,
      version: MANIFEST.version,
      downloadBytes: downloadBytes(flavor),
      installedBytes: MANIFEST.installedBytes[flavor],
    }))
    if (options.json) {
      return printJson({ schema: 1, cache: libtorchCache(), installed, available })
    }
    printLine(`Installed in ${libtorchCache()}:`)
    for (const entry of installed) printLine(`  ${describeInstalled(entry)}`)
    if (installed.length === 0) printLine('  nothing')
    printLine('Can be installed:')
    for (const { version, flavor, ...bytes } of available) {
      const download = formatBytes(bytes.downloadBytes)
      const disk = formatBytes(bytes.installedBytes)
      printLine(`  ${version} ${flavor.padEnd(9)}  ${download} to download, ${disk} on disk`)
    }
  },
}

const remove: Command<{ flavor: Flavor | undefined }> = {
  command: 'remove',
  describe: 'Remove what is installed in the cache',
  builder: (yargs) =>
    yargs.option('flavor', { ...FLAVOR_OPTION, describe: 'Only this one [default: all]' }),
  async handler(options) {
    const removed = await removeLibtorch({ flavor: options.flavor })
    if (options.json) return printJson({ schema: 1, removed })
    for (const entry of removed) printLine(`Removed ${describeInstalled(entry)}`)
    if (removed.length === 0) printLine(`Nothing is installed in ${libtorchCache()}`)
  },
}

export const libtorchCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: 'libtorch',
  describe: 'Install and find LibTorch, which the package does not contain',
  builder: (yargs) =>
    yargs
      .command(install)
      .command(where)
      .command(list)
      .command(remove)
      .demandCommand(1, 'Expected install, where, list or remove after `libtorch`.'),
  handler() {},
}

function describeInstalled(installed: InstalledLibtorch): string {
  const { version, flavor, sizeBytes, source, verified, directory } = installed
  const from = `from ${source}${verified ? '' : ', not verified'}`
  return `${version} ${flavor.padEnd(9)}  ${formatBytes(sizeBytes)}  ${from}  ${directory}`
}
