import { describe, expect, it } from 'vitest';
import { flagValue } from './keys/written-value.ts';
import { familyName, parseGroup, parseLocalAddress, parseStationMac, parseVtepAddress } from './underlay-addresses.ts';

type Parse = typeof parseGroup | typeof parseStationMac;

describe('accepted addresses', () => {
  it.each<[parse: Parse, text: string, value: string]>([
    [parseGroup, '224.0.0.0', '224.0.0.0'],
    [parseGroup, '239.255.255.255', '239.255.255.255'],
    [parseGroup, 'FF05::01', 'ff05::1'],
    [parseVtepAddress, '192.0.2.1', '192.0.2.1'],
    [parseVtepAddress, '127.0.0.2', '127.0.0.2'],
    [parseVtepAddress, '2001:DB8:0:0::1', '2001:db8::1'],
    [parseLocalAddress, '127.0.0.1', '127.0.0.1'],
    [parseLocalAddress, '::1', '::1'],
    [parseStationMac, '02:AB:00:00:00:01', '02:ab:00:00:00:01'],
  ])('%o takes %s', (parse, text, value) => {
    expect(parse(flagValue('x', text))).toBe(value);
  });
});

describe('refusals', () => {
  it.each<[parse: Parse, text: string, cause: string]>([
    [parseGroup, '10.1.1.1', 'is not a multicast address (224.0.0.0/4 or ff00::/8)'],
    [parseGroup, '240.0.0.1', 'is not a multicast address (224.0.0.0/4 or ff00::/8)'],
    [parseGroup, 'fe80::1', 'is not a multicast address (224.0.0.0/4 or ff00::/8)'],
    [parseGroup, 'all', 'is not an IP address: a group is a multicast address, 224.0.0.0/4 or ff00::/8'],
    [parseGroup, 'ff02::1%eth0', 'names a zone: leave out the % and what follows, and give the interface by --dev'],
    [parseVtepAddress, '0.0.0.0', 'is the unspecified address: give the unicast address of a VTEP'],
    [parseVtepAddress, '0.1.2.3', 'is of 0.0.0.0/8, which no host can have: give the unicast address of a VTEP'],
    [parseVtepAddress, '::ffff:0.0.0.9', 'is of 0.0.0.0/8, which no host can have: give the unicast address of a VTEP'],
    [parseVtepAddress, '::', 'is the unspecified address: give the unicast address of a VTEP'],
    [parseVtepAddress, '239.1.1.1', 'is a multicast address: give the unicast address of a VTEP'],
    [parseVtepAddress, 'ff02::1', 'is a multicast address: give the unicast address of a VTEP'],
    [parseVtepAddress, '255.255.255.255', 'is the broadcast address: give the unicast address of a VTEP'],
    [parseVtepAddress, 'fe80::1', 'is a link-local address (fe80::/10): give the unicast address of a VTEP'],
    [parseVtepAddress, '10.0.0.1/24', 'is not an IP address: give an address like 192.0.2.1'],
    [parseVtepAddress, '10.0.0.010', 'is not an IP address: give an address like 192.0.2.1'],
    [parseVtepAddress, 'host.example', 'is not an IP address: give an address like 192.0.2.1'],
    [parseVtepAddress, 'x%eth0', 'is not an IP address: give an address like 192.0.2.1'],
    [parseLocalAddress, '0.0.0.0', 'is the unspecified address: give a unicast address of the underlay interface'],
    [parseLocalAddress, '224.0.0.1', 'is a multicast address: give a unicast address of the underlay interface'],
    [
      parseLocalAddress,
      '255.255.255.255',
      'is the broadcast address: give a unicast address of the underlay interface',
    ],
    [
      parseLocalAddress,
      'febf::1',
      'is a link-local address (fe80::/10): give a unicast address of the underlay interface',
    ],
    [
      parseLocalAddress,
      'fe80::1%eth0',
      'names a zone: leave out the % and what follows, and give the interface by --dev',
    ],
    [parseStationMac, '02-00-00-00-00-01', 'is not a MAC address: write it like 02:00:00:00:00:01'],
    [parseStationMac, '2:0:0:0:0:1', 'is not a MAC address: write it like 02:00:00:00:00:01'],
    [parseStationMac, '00:00:00:00:00:00', 'is the zero MAC: give the MAC of one station'],
    [parseStationMac, 'ff:ff:ff:ff:ff:ff', 'is a group MAC: give the MAC of one station'],
    [parseStationMac, '01:00:5e:00:00:01', 'is a group MAC: give the MAC of one station'],
  ])('%o refuses %s', (parse, text, cause) => {
    expect(() => parse(flagValue('x', text))).toThrow(
      expect.objectContaining({ code: 'ERR_VTEP_USAGE', message: `--x ${text}: ${text} ${cause}` }),
    );
  });
});

it('names families', () => {
  expect(familyName(parseVtepAddress(flagValue('x', '192.0.2.1')))).toBe('IPv4');
  expect(familyName(parseVtepAddress(flagValue('x', 'fd00::1')))).toBe('IPv6');
});
