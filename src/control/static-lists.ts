import type { ControlPlane } from './control-plane.ts';

/** The lists of the configuration: `remote=` gives the flood list, `static=` the places of MACs. */
export const staticLists: ControlPlane = {
  origin: 'static',
  segmentUpdated: ({ config }) => ({
    ...{ group: undefined, floods: config.remotes, macs: config.statics },
    neighbours: [],
  }),
};
