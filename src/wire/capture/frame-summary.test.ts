import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameMacs, summarizeFrame } from './frame-summary.ts';

const MACS = '020000000002020000000001';
/** IPv4 from 192.0.2.1 to 192.0.2.2. @param fragment flags and offset as they stand in the header */
const ipv4 = (protocol: number, payload: string, fragment = '0000') => {
  const length = (20 + payload.length / 2).toString(16).padStart(4, '0');
  return (
    `${MACS}0800` +
    `4500${length}0001${fragment}40${protocol.toString(16).padStart(2, '0')}0000c0000201c0000202${payload}`
  );
};
/** IPv6 from fe80::1 to ff02::1. */
const ipv6 = (next: number, payload: string) => {
  const length = (payload.length / 2).toString(16).padStart(4, '0');
  const addresses = 'fe800000000000000000000000000001' + 'ff020000000000000000000000000001';
  return `${MACS}86dd60000000${length}${next.toString(16).padStart(2, '0')}ff${addresses}${payload}`;
};
const tcp = (flags: string) => `9c400016000000070000000950${flags}0200000000006869`;
const arp = (operation: string) => `${MACS}08060001080006040${operation}020000000001c0000201000000000000c0000202`;
const echo = (type: string) => `${type}00000000070003`;
const solicitation = (type: string) => `${type}00000000000000fd000018000000000000000000000002`;

const read = (frame: string, length = frame.length / 2) => {
  const bytes = Buffer.from(`a5a5a5${frame}`, 'hex');
  return summarizeFrame(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 3, length);
};

describe('in a few words', () => {
  it.each([
    [arp('001'), 'ARP, Request who-has 192.0.2.2 tell 192.0.2.1'],
    [arp('002'), 'ARP, Reply 192.0.2.1 is-at 02:00:00:00:00:01'],
    [arp('008'), 'ARP, operation 8'],
    [ipv4(6, tcp('02')), 'IP 192.0.2.1.40000 > 192.0.2.2.22: Flags [S], seq 7, ack 9, win 512, length 2'],
    [ipv4(6, tcp('19')), 'IP 192.0.2.1.40000 > 192.0.2.2.22: Flags [FP.], seq 7, ack 9, win 512, length 2'],
    [ipv4(6, tcp('00')), 'IP 192.0.2.1.40000 > 192.0.2.2.22: Flags [none], seq 7, ack 9, win 512, length 2'],
    [ipv4(17, '9c400035000b0000414243'), 'IP 192.0.2.1.40000 > 192.0.2.2.53: UDP, length 3'],
    [ipv4(1, echo('08')), 'IP 192.0.2.1 > 192.0.2.2: ICMP echo request, id 7, seq 3, length 8'],
    [ipv4(1, echo('03')), 'IP 192.0.2.1 > 192.0.2.2: ICMP destination unreachable, length 8'],
    [ipv4(1, echo('2a')), 'IP 192.0.2.1 > 192.0.2.2: ICMP type 42 code 0, length 8'],
    [ipv4(2, '1600'), 'IP 192.0.2.1 > 192.0.2.2: IGMP, length 2'],
    [ipv4(47, '0000'), 'IP 192.0.2.1 > 192.0.2.2: GRE, length 2'],
    [ipv4(200, '00'), 'IP 192.0.2.1 > 192.0.2.2: protocol 200, length 1'],
    [ipv4(17, '9c400035000b0000', '2000'), 'IP 192.0.2.1 > 192.0.2.2: UDP, length 8, first fragment'],
    [ipv4(17, '41424344', '00b9'), 'IP 192.0.2.1 > 192.0.2.2: fragment at 1480, protocol 17, length 4'],
    [ipv6(17, '9c400035000b0000414243'), 'IP6 fe80::1.40000 > ff02::1.53: UDP, length 3'],
    [ipv6(58, echo('80')), 'IP6 fe80::1 > ff02::1: ICMP6, echo request, id 7, seq 3, length 8'],
    [
      ipv6(58, solicitation('87')),
      'IP6 fe80::1 > ff02::1: ICMP6, neighbor solicitation, who has fd00:18::2, length 24',
    ],
    [
      ipv6(58, solicitation('88')),
      'IP6 fe80::1 > ff02::1: ICMP6, neighbor advertisement, tgt is fd00:18::2, length 24',
    ],
    [ipv6(0, `3a00050200000000${echo('8f')}`), 'IP6 fe80::1 > ff02::1: ICMP6, multicast listener report v2, length 8'],
    [ipv6(59, ''), 'IP6 fe80::1 > ff02::1: protocol 59, length 0'],
    [`${MACS}8100000788cc`, 'vlan 7, ethertype 0x88cc'],
    [
      `${MACS}88a8006481000007${arp('001').slice(24)}`,
      'vlan 100, vlan 7, ARP, Request who-has 192.0.2.2 tell 192.0.2.1',
    ],
    [`${MACS}0026424203`, '802.3, length 38'],
    [`${MACS}0800600000`, 'IP, cut short or malformed'],
    [`${MACS}86dd4500`, 'IP6, cut short or malformed'],
    [arp('001').slice(0, -2), 'ARP, cut short'],
    [MACS, 'too short for Ethernet'],
  ])('%s', (frame, text) => {
    expect(read(frame)).toBe(text);
  });
});

describe('whatever comes', () => {
  it('is one line of plain text, and nothing throws', () => {
    const starts = [
      '',
      arp('001'),
      ipv4(6, tcp('02')),
      ipv4(1, echo('08')),
      ipv6(58, solicitation('87')),
      ipv6(0, '3aff'),
    ];
    const frames = fc.tuple(fc.constantFrom(...starts), fc.uint8Array({ maxLength: 120 }), fc.nat(200));
    fc.assert(
      fc.property(frames, ([start, rest, at]) => {
        const bytes = Buffer.concat([Buffer.from(start, 'hex'), rest]);
        if (bytes.length > 0) bytes[at % bytes.length] = rest[0] ?? 0;
        expect(read(bytes.toString('hex'))).toMatch(/^[\x20-\x7e]+$/);
      }),
    );
  });

  it('is cut at every length without a word of what is behind', () => {
    for (const whole of [arp('001'), ipv4(6, tcp('02')), ipv6(58, solicitation('87'))]) {
      for (let length = 0; length < whole.length / 2; length++) expect(read(whole, length)).toMatch(/short|malformed/);
    }
  });
});

it('tells both MACs of what has them', () => {
  const bytes = Buffer.from(`${MACS}0800`, 'hex');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  expect(frameMacs(view, 0, 14)).toEqual({ src: '02:00:00:00:00:01', dst: '02:00:00:00:00:02' });
  expect(frameMacs(view, 0, 13)).toBeUndefined();
});
