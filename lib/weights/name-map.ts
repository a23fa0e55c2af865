// What a package's names of weights are to ours.

/** Names of one package and ours, one to one; other names come out as anything. */
export interface NameMap {
  readonly toOurs: (name: string) => string
  readonly fromOurs: (name: string) => string
}
