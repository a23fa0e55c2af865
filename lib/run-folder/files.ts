// Files that a report writes into a run folder.

export const REPORT_FILE = 'report.html'
/** A step's memory, measured in fresh processes. */
export const TIMELINE_FILE = 'timeline.json'
/** What the decoders give back, as small pictures. */
export const RECONSTRUCTIONS_FILE = 'reconstructions.json'

export const REPORT_FILES = [REPORT_FILE, TIMELINE_FILE, RECONSTRUCTIONS_FILE] as const
