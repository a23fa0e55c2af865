// What is settled on a GPU, item by item: what an item is asked, finds, and comes to as a row.

/** Where an item can be answered: a CUDA device, a simulated card, the CPU in the place of a device. */
export type DeviceKind = 'gpu' | 'simulated' | 'cpu'

export interface GpuDevice {
  /** `cuda:0`, `sim:rtx3060` or `cpu`, as the items' processes take it. */
  readonly name: string
  readonly kind: DeviceKind
  /** As the driver calls the card; `CPU`. */
  readonly title: string
  /** Why it was taken. */
  readonly reason: string
}

/** What the process of an item is asked. */
export interface ItemRequest {
  readonly work: string
  /** As in {@link GpuDevice}; for the work `device` what the user asked for. */
  readonly device: string
  /** The micro network and small batches. */
  readonly quick: boolean
  /** Of the items that are there once for each run spec. */
  readonly spec?: string | undefined
}

export interface Finding {
  /** `fail`: something is not as it has to be. */
  readonly status: 'ok' | 'fail'
  /** One line for people. */
  readonly summary: string
  /** Figures, as plain JSON. */
  readonly details: unknown
}

/** The work of an item, in a process of its own. */
export type Work = (request: ItemRequest) => Promise<Finding>

export type ItemMessage =
  | { readonly type: 'finding'; readonly finding: Finding }
  | {
      readonly type: 'error'
      readonly code: string | null
      readonly message: string
      readonly hint: string | null
    }

/** How an item's process ended. */
export type Ended =
  | ItemMessage
  /** Without a word; `how`: `was ended by SIGSEGV`. */
  | { readonly type: 'died'; readonly how: string }

export interface ItemRow {
  readonly id: string
  readonly title: string
  /** `left`: not run here, for the reason that is the summary. */
  readonly status: 'ok' | 'fail' | 'left'
  readonly seconds: number | null
  readonly summary: string
  readonly details: unknown
}

/** What a row says of how its item ended. */
export type Outcome = Pick<ItemRow, 'status' | 'summary' | 'details'>

export function ok(summary: string, details: unknown = null): Finding {
  return { status: 'ok', summary, details }
}

export function fail(summary: string, details: unknown = null): Finding {
  return { status: 'fail', summary, details }
}

/** `fail` where there are complaints, which are then the summary. */
export function judged(complaints: readonly string[], summary: string, details: unknown): Finding {
  return complaints.length === 0 ? ok(summary, details) : fail(complaints.join('; '), details)
}
