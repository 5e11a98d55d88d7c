import type { Finding } from '../../api/schemas.ts';
import type { Bar } from '../../host/underlay/own-addresses.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { failed, faultsOr, ok, someOf, unknown, warning } from './finding.ts';

/** A VTEP that VNIs know, and the route to it. */
export interface VtepFacts {
  readonly vtep: IpAddress;
  readonly dev: string;
  /** VNIs with a group that it was heard or static in, and whose flood list does not contain it. */
  readonly groupVnis: readonly number[];
  /** VNIs with a group whose flood list contains it too. */
  readonly listVnis: readonly number[];
  /** Interface of the route to it; undefined: there is no route. */
  readonly routeDev: string | undefined;
  /** Why the kernel did not say that. */
  readonly routeUnseen?: string | undefined;
  /** A router is on the path. */
  readonly isRouted: boolean;
}

/** A VTEP of entries or flood lists that nothing is sent to. */
export interface BarredFacts {
  readonly vtep: IpAddress;
  readonly bar: Bar;
  readonly vnis: readonly number[];
}

const RAISE_TTL = '--mcast-ttl 16';

/** @param silentVnis those with a group that have heard no VTEP */
export function checkTtl(mcastTtl: number, vteps: readonly VtepFacts[], silentVnis: readonly number[]): Finding[] {
  const object = `--mcast-ttl ${mcastTtl}`;
  if (mcastTtl > 1) return [ok('ttl', object, 'floods pass routers that forward multicast')];
  const faults: Finding[] = [];
  for (const { vtep, groupVnis, listVnis, isRouted, routeUnseen } of vteps) {
    if (routeUnseen !== undefined && groupVnis.length + listVnis.length > 0) {
      faults.push(unknown('ttl', object, `the kernel does not say whether ${vtep} is behind a router: ${routeUnseen}`));
    }
    if (!isRouted) continue;
    if (groupVnis.length > 0) {
      const message = `floods end at the first router, and ${vtep} (VNI ${someOf(groupVnis)}) is behind one: restart vtepd with a higher value`;
      faults.push(failed('ttl', object, message, RAISE_TTL));
    } else if (listVnis.length > 0) {
      const message = `floods to the group end at the first router, and ${vtep} is behind one: only remote= reaches it in VNI ${someOf(listVnis)}`;
      faults.push(warning('ttl', object, message, RAISE_TTL));
    }
  }
  if (faults.length === 0 && silentVnis.length > 0) {
    const message = `no VTEP was heard in VNI ${someOf(silentVnis)}: if there are routers on the path, floods end at the first one`;
    faults.push(warning('ttl', object, message, RAISE_TTL));
  }
  return faultsOr(faults, ok('ttl', object, 'no router is between the known VTEPs'));
}

/** @param vtepctl how to call it, with its `--socket` */
export function checkBarred(barred: readonly BarredFacts[], vtepctl: string): Finding[] {
  const faults = barred.map(({ vtep, bar, vnis }) => {
    const where = `VNI ${someOf(vnis)}`;
    if (bar === 'own') {
      const message = `it is an own address of this host now: frames for static entries of ${where} with this address are not sent, until another host has it`;
      return warning('vtep', vtep, message, `${vtepctl} fdb show --static --vtep ${vtep}`);
    }
    const message = `it is the broadcast address of a network of this host: ${where} sends nothing to it`;
    return warning('vtep', vtep, message, `${vtepctl} remote del ${vtep} --vni ${vnis[0]}`);
  });
  return faults.length === 0 ? [] : faultsOr(faults, ok('vtep', '', ''));
}

/** Strict reverse-path filtering (RFC 3704 §2.2) drops packets from a VTEP that this host routes by another interface. */
export function checkReversePath(
  dev: string,
  rpFilter: number | undefined,
  vteps: readonly VtepFacts[],
  loosen: string,
): Finding[] {
  if (rpFilter === undefined) return [unknown('reverse-path', dev, 'its rp_filter cannot be read')];
  if (rpFilter !== 1) return [ok('reverse-path', dev, `rp_filter ${rpFilter} is not strict`)];
  const faults = vteps
    .filter((vtep) => vtep.dev === dev && !vtep.vtep.includes(':') && vtep.routeDev !== dev)
    .map(({ vtep, routeDev, routeUnseen }) => {
      if (routeUnseen !== undefined) {
        const why = `rp_filter is strict, and the kernel does not say how ${vtep} is routed: ${routeUnseen}`;
        return unknown('reverse-path', dev, why);
      }
      const route = routeDev === undefined ? 'there is no route to it' : `the route to it uses ${routeDev}`;
      const message = `rp_filter is strict and ${route}: VXLAN from ${vtep} is dropped`;
      return warning('reverse-path', dev, message, loosen);
    });
  return faultsOr(
    faults,
    ok('reverse-path', dev, 'rp_filter is strict, and every known VTEP is routed by this interface'),
  );
}
