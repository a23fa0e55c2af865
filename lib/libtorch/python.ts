// How Python is started: in an empty folder of ours. `python3 -m pip` and `python3 -c` look for modules
// in the working directory first, where somebody's `pip.py` or `torch/` would be run. Python 3.11 and
// newer do not look there with PYTHONSAFEPATH, which older ones pass over; `-I` would do it too, but
// would hide a pip that the user has installed for himself.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** What a Python is started with beside its own options. */
export interface PythonSettings {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
}

/** Gives `work` the settings for its Python, and removes the folder when it has ended. */
export async function withPython<T>(work: (settings: PythonSettings) => Promise<T>): Promise<T> {
  const settings = begin()
  try {
    return await work(settings)
  } finally {
    end(settings)
  }
}

/** The same for a Python that is waited for. */
export function withPythonSync<T>(work: (settings: PythonSettings) => T): T {
  const settings = begin()
  try {
    return work(settings)
  } finally {
    end(settings)
  }
}

function begin(): PythonSettings {
  const cwd = mkdtempSync(path.join(path.resolve(tmpdir()), 'localformer-python-'))
  return { cwd, env: { ...process.env, PYTHONSAFEPATH: '1' } }
}

function end({ cwd }: PythonSettings): void {
  rmSync(cwd, { recursive: true, force: true })
}
