// Names of the files of a run folder, all of them, and the number of its layout.

/** A folder of another number is refused. */
export const RUN_SCHEMA = 2

export const CONFIG_FILE = 'config.json'
/** What the run came to; there when it is over. */
export const SUMMARY_FILE = 'summary.json'
/** The newest weights. */
export const WEIGHTS_FILE = 'weights.safetensors'
/** Names the process that writes the folder. */
export const LOCK_FILE = '.lock'

export const CHECKPOINTS_FOLDER = 'checkpoints'
export const LAST = 'last'
export const PREVIOUS = 'previous'
export const BEST = 'best'
/** Of a checkpoint, beside its weights: what the optimizers keep, and how far the run was. */
export const STATE_FILE = 'state.safetensors'
export const INDEX_FILE = 'state.json'

// The logs grow as things happen.
export const EVENTS_FILE = 'events.jsonl'
export const METRICS_FILE = 'metrics.csv'
export const TENSORBOARD_PREFIX = 'events.out.tfevents.'

export const REPORT_FILE = 'report.html'
/** A step's memory, measured in fresh processes. */
export const TIMELINE_FILE = 'timeline.json'
/** What the decoders give back, as small pictures. */
export const RECONSTRUCTIONS_FILE = 'reconstructions.json'

export const REPORT_FILES = [REPORT_FILE, TIMELINE_FILE, RECONSTRUCTIONS_FILE] as const
