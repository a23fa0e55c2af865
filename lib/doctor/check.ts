// One line of `localformer doctor`.

export interface Check {
  readonly name: string
  /** `warn`: works, though not everything or not well. */
  readonly status: 'ok' | 'warn' | 'fail'
  /** What was found. */
  readonly detail: string
  /** The command or the step that mends it; null where nothing is to be mended. */
  readonly fix: string | null
}

export function ok(name: string, detail: string): Check {
  return { name, status: 'ok', detail, fix: null }
}

export function warn(name: string, detail: string, fix: string | null): Check {
  return { name, status: 'warn', detail, fix }
}

export function fail(name: string, detail: string, fix: string | null): Check {
  return { name, status: 'fail', detail, fix }
}
