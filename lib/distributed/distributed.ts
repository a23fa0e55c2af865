// The public part of this room: `distributed.init()` and what goes with it.
export {
  barrier,
  destroy,
  type InitOptions,
  init,
  isInitialized,
  localRank,
  rank,
  type Traffic,
  traffic,
  worldSize,
} from './group.js'
