import { expect, it } from 'vitest';
import { needsNftText, parseNftText } from './nft-text.ts';

const TEXT = `table inet t {
	flags dormant
	set s {
		type ipv4_addr
		flags interval
	}
	chain c {
		type filter hook input priority filter; policy accept;
	}
}
table netdev u {
	chain c {
		type filter hook ingress device "lo" priority filter; policy accept;
	}
	chain d {
		type filter hook egress devices = { d0, "eth0.5" } priority filter; policy drop;
	}
}
`;

it('reads which tables are dormant, and the interfaces of chains', () => {
  const { dormant, devs } = parseNftText(TEXT);
  expect([...dormant]).toEqual(['inet t']);
  expect(Object.fromEntries(devs)).toEqual({ 'netdev u c': ['lo'], 'netdev u d': ['d0', 'eth0.5'] });
});

it.each([
  ['{"chain": {"family": "netdev", "hook": "ingress"}}', true],
  ['{"table": {"family": "inet", "name": "t", "handle": 1, "flags": "dormant"}}', true],
  ['{"table": {"family": "inet", "name": "t", "handle": 1}}, {"set": {"flags": ["interval"]}}', false],
])('%s needs it: %s', (json, expected) => {
  expect(needsNftText(json)).toBe(expected);
});
