// Text that goes to a terminal. Names of files, tensors and classes and the messages of other programs
// come from elsewhere, and may hold what commands a terminal (escape sequences), turns text round
// (bidirectional controls) or passes for a line of ours. Each such character is shown by its number,
// as JSON and YAML write it: \u001b. Applied where text leaves (lib/cli), not where it is made.

/** C0 but tab and line feed, DEL, C1; Arabic letter mark, marks, line ends, embeddings, isolates. */
const UNSAFE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is meant
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Text of any number of lines: line feeds and tabs stay. */
export function safeText(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(UNSAFE, numbered)
}

/** Text that is one line, or a part of one: line feeds and tabs are shown too. */
export function safeLine(text: string): string {
  return text.replace(UNSAFE, numbered).replace(/[\t\n]/g, numbered)
}

/** A document whose strings are what they were, in characters that a terminal shows. */
export function safeJson(document: unknown): string {
  return JSON.stringify(document, null, 2).replace(UNSAFE, numbered)
}

function numbered(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
