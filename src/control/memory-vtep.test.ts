import { describeControlContract } from './contract-rig.ts';
import { MemoryVtep } from './memory-vtep.ts';

describeControlContract('the VTEP in memory', async () => {
  const vtep = new MemoryVtep();
  return {
    attach: (plane) => vtep.attach(plane),
    addSegment: async (config) => vtep.addSegment(config),
    removeSegment: async (vni) => vtep.removeSegment(vni),
    changeSegment: async (config) => vtep.changeSegment(config),
    addStatic: (...entry) => vtep.addStatic(...entry),
    deleteStatic: (...entry) => vtep.deleteStatic(...entry),
    learn: (...heard) => vtep.learn(...heard),
    hear: (...heard) => vtep.hear(...heard),
    neighbourOf: (...key) => vtep.neighbourOf(...key),
    elapse: (seconds) => vtep.elapse(seconds),
    setOwn: async (...address) => vtep.setOwn(...address),
    entryOf: (...key) => vtep.entryOf(...key),
    floodMembers: (vni) => vtep.floodMembers(vni),
    floodedTo: (vni) => vtep.floodedTo(vni),
    told: async () => {},
    close: async () => {},
  };
});
