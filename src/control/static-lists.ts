import type { ControlPlane } from './control-plane.ts';

/** The lists of the configuration: `remote=` says who gets the floods, `static=` where MACs are. */
export const staticLists: ControlPlane = {
  origin: 'static',
  segmentUpdated: ({ config }) => ({
    ...{ group: undefined, floods: config.remotes, macs: config.statics },
    neighbours: [],
  }),
};
