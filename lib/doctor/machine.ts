// What the machine has, as it says itself: C library, tools of a build.
import { spawnSync } from 'node:child_process'

/** Undefined where the C library is another one. */
export function glibcVersion(): string | undefined {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return report.header?.glibcVersionRuntime
}

const CPP17 = '#include <optional>\nint main() { return std::optional<int>().has_value(); }\n'

export function compilesCpp17(compiler: string): boolean {
  const options = ['-std=c++17', '-fsyntax-only', '-x', 'c++', '-']
  return spawnSync(compiler, options, { input: CPP17, timeout: 30_000 }).status === 0
}

/** The first dotted number that `COMMAND --version` prints; undefined where it does not run. */
export function versionOf(command: string): string | undefined {
  const { status, stdout } = spawnSync(command, ['--version'], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  return status === 0 ? (/\d+(?:\.\d+)+/.exec(stdout)?.[0] ?? 'of unknown version') : undefined
}
