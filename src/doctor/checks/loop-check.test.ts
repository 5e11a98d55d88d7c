import { describe, expect, it } from 'vitest';
import type { L2Control } from '../../config/keys/l2-control-key.ts';
import { type BridgeFacts, checkLoops } from './loop-check.ts';

const tap = (name: string, l2Control: L2Control | undefined = 'drop', isTrunk = false) => ({
  tap: name,
  isTrunk,
  l2Control,
});
const bridge = (differs: Partial<BridgeFacts>): BridgeFacts => ({
  ...{ bridge: 'br0', hasSpanningTree: false, taps: [tap('vxlan100')], otherTunnels: [] },
  ...differs,
});

describe('loops', () => {
  it('without a bridge there is nothing to say', () => {
    expect(checkLoops([])).toEqual([]);
  });

  it.each<[string, Partial<BridgeFacts>]>([
    ['one TAP', {}],
    ['one TAP that passes STP', { hasSpanningTree: true, taps: [tap('a', ['stp'])] }],
    ['two TAPs that pass STP', { hasSpanningTree: true, taps: [tap('a', 'pass'), tap('b', ['stp', 'lldp'])] }],
    ['a trunk whose untagged VNI passes STP', { hasSpanningTree: true, taps: [tap('t', ['stp'], true)] }],
    ['a trunk beside a TAP', { taps: [tap('a'), tap('t', 'drop', true)] }],
  ])('%s is well', (_, facts) => {
    expect(checkLoops([bridge(facts)])).toMatchObject([{ check: 'loop', status: 'ok' }]);
  });

  it.each<[string, Partial<BridgeFacts>, string]>([
    ['spanning tree that does not see through a TAP', { hasSpanningTree: true }, 'l2-control=stp'],
    ['one that passes others', { hasSpanningTree: true, taps: [tap('a', ['lldp'])] }, 'l2-control=stp+lldp'],
    ['a trunk', { hasSpanningTree: true, taps: [tap('t', 'drop', true)] }, 'l2-control=stp'],
    [
      'a trunk without an untagged VNI',
      { hasSpanningTree: true, taps: [{ tap: 't', isTrunk: true, l2Control: undefined }] },
      'vlan=0,l2-control=stp',
    ],
    [
      'two VNIs in one bridge',
      { taps: [tap('a', 'pass'), tap('b', 'pass')] },
      'ip link set br0 type bridge stp_state 1',
    ],
    [
      'a vxlan device of the kernel beside a TAP',
      { otherTunnels: ['vx100'] },
      'ip link set br0 type bridge stp_state 1',
    ],
  ])('%s', (_, facts, remedy) => {
    expect(checkLoops([bridge(facts)])).toMatchObject([{ check: 'loop', status: 'warning', object: 'br0', remedy }]);
  });
});
