import { describe, expect, it } from 'vitest';
import { diffConfig } from './config-diff.ts';
import { readConfigFile } from './config-file.ts';
import { parseConfig } from './parse.ts';

const parse = (text: string) =>
  parseConfig({ vni: [], local: [], check: false, scalars: {} }, readConfigFile(text, '/f'));

/** What happens to VNI 100 when its keys change so. */
function fate(before: string, after: string): string[] {
  const [a, b] = [before, after].map((keys) => parse(`trunk: t0\nvnis: [{vni: 100${keys}}]`));
  if (!a || !b) expect.fail();
  const { logLevel, ...lists } = diffConfig(a, b);
  expect(logLevel).toBeUndefined();
  return Object.entries(lists).flatMap(([name, vnis]) => vnis.map(({ vni }) => `${name} ${vni}`));
}

it('tells what came, went, and stayed', () => {
  const { added, removed, adjusted, remade } = diffConfig(
    parse('vnis: [{vni: 1}, {vni: 2}, {vni: 3}]'),
    parse('vnis: [{vni: 4}, {vni: 3}, {vni: 1}]'),
  );
  expect(added.map(({ vni }) => vni)).toEqual([4]);
  expect(removed.map(({ vni }) => vni)).toEqual([2]);
  expect([...adjusted, ...remade]).toEqual([]);
});

it.each([
  ['', ', name: red'],
  ['', ', learning: off'],
  ['', ', max-macs: 7'],
  ['', ', inner-vlan: strip'],
  ['', ', flood: none'],
  [', storm: 5', ''],
  ['', ', suppress: on'],
  [', remote: [10.0.0.1]', ', remote: [10.0.0.2, 10.0.0.3]'],
  [', group: 239.1.1.1', ', group: 239.1.1.1, remote: [10.0.0.2]'],
  [', static: 02:00:00:00:00:01@10.0.0.1', ', static: 02:00:00:00:00:01@10.0.0.2'],
])('%j, then %j is told to the data path', (before, after) => {
  expect(fate(before, after)).toEqual(['adjusted 100']);
});

it.each([
  [', group: 239.1.1.1', ', group: 239.1.1.2'],
  ['', ', tap: t100'],
  ['', ', vlan: 7'],
  ['', ', bridge: br0'],
  ['', ', mtu: 1400'],
  ['', ', mac: 02:00:00:00:00:01'],
  ['', ', join: lazy'],
  ['', ', inner-vlan: pass'],
  // Of another family: it may need another underlay, and a smaller MTU.
  [', remote: [10.0.0.1]', ', remote: [10.0.0.1, fd00::1]'],
])('%j, then %j makes the VNI anew', (before, after) => {
  expect(fate(before, after)).toEqual(['remade 100']);
});

it('of two ways to write the same there is no difference', () => {
  expect(fate(', learning: on, remote: 10.0.0.1', ', remote: [10.0.0.1]')).toEqual([]);
});

describe('what belongs to sockets, threads and memory', () => {
  it.each([
    ['dev: eth0', 'dev'],
    ['local: 10.0.0.1', 'local'],
    ['port: 5', 'port'],
    ['ttl: 5', 'ttl'],
    ['mcast-ttl: 5', 'mcast-ttl'],
    ['tos: inherit', 'tos'],
    ['df: unset', 'df'],
    ['ageing: 5', 'ageing'],
    ['source-ports: 5', 'source-ports'],
    ['source-port-range: 50000-60000', 'source-port-range'],
    ['allow-vtep: 10.0.0.0/8', 'allow-vtep'],
    ['reserved-bits: drop', 'reserved-bits'],
    ['trunk: t0', 'trunk'],
    ['workers: 2', 'workers'],
    ['offload: off', 'offload'],
    ['busy-poll: off', 'busy-poll'],
    ['querier: on', 'querier'],
    ['persist: on', 'persist'],
    ['state-dir: /d', 'state-dir'],
    ['socket: /s', 'socket'],
    ["http: '[::1]:9477'", 'http'],
    ['log-format: json', 'log-format'],
  ])('cannot change: %s', (text, name) => {
    const message = `reload: ${name}: cannot change while vtepd runs: restart it, or put the old value back`;
    for (const [before, after] of [
      ['', text],
      [text, ''],
    ] as const) {
      expect(() => diffConfig(parse(before), parse(after))).toThrow(
        expect.objectContaining({ code: 'ERR_VTEP_USAGE', message }),
      );
    }
  });

  it('is named all at once', () => {
    expect(() => diffConfig(parse(''), parse('port: 5\nttl: 6'))).toThrow('reload: port, ttl: ');
  });
});

it('the log level can change', () => {
  expect(diffConfig(parse('log-level: info'), parse('log-level: debug')).logLevel).toBe('debug');
});
