import type { ControlPlane } from './control-plane.ts';

/** RFC 7348 §4: floods go to the multicast group of the segment, and the data path learns MACs from frames. */
export const floodAndLearn: ControlPlane = {
  origin: 'learned',
  segmentUpdated: ({ config }) => ({ group: config.group, floods: [], macs: [], neighbours: [] }),
};
