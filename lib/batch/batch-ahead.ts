// One thing ahead: the next one is under way while the one before it is used.
// in: how to begin each -> out: what they gave, in order.

/**
 * Gives what each of `begin` promises, and begins the next one first, so that it is made while the
 * caller works. What was begun and is not asked for any more is disposed of before the loop ends,
 * however it ends; a failure is thrown when its turn comes.
 */
export async function* oneAhead<T extends { dispose(): void }>(
  begin: Iterable<() => Promise<T>>,
): AsyncGenerator<T, void, undefined> {
  const iterator = begin[Symbol.iterator]()
  const start = () => {
    const { value: work, done } = iterator.next()
    if (done) return undefined
    const made = work()
    // Told when it is awaited; until then it is no unhandled rejection.
    made.catch(() => {})
    return made
  }
  let ahead = start()
  try {
    while (ahead) {
      const current = await ahead
      // Nothing is ahead should the next one not even begin.
      ahead = undefined
      try {
        ahead = start()
      } catch (error) {
        current.dispose()
        throw error
      }
      yield current
    }
  } finally {
    const unused = await ahead?.catch(() => undefined)
    unused?.dispose()
    iterator.return?.()
  }
}
