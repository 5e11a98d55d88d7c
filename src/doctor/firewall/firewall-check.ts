import type { Finding } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { MAX_PROBED_ADDRESSES } from '../../lib/limits.ts';
import { failed, faultsOr, ok, unknown, warning } from '../checks/finding.ts';
import type { OwnAddress, Packet, PortRange } from './firewall-packet.ts';
import { describeRewrite } from './firewall-rewrite.ts';
import { type BaseChain, isUntracked, passes, type Rule, walk } from './firewall-walk.ts';

/** The host's packet filters, or why they cannot be read. */
export type FirewallFacts =
  | {
      readonly chains: readonly BaseChain[];
      /** What may have rules that cannot be read, for a message. */
      readonly unseen?: string;
      /** What is not checked, for a message. */
      readonly unasked?: string;
    }
  /** What keeps them from being read, for a message. */
  | { readonly unreadable: string };

/** The VXLAN that the firewall must accept. */
export interface ProtectedTraffic {
  /** Interface, or undefined: any. */
  readonly dev: string | undefined;
  readonly family: 4 | 6;
  readonly local: IpAddress | undefined;
  readonly groups: readonly IpAddress[];
  /** VTEPs that are known; empty: any. */
  readonly vteps: readonly IpAddress[];
  readonly port: number;
  /** Outer source ports of this VTEP; others choose their own. */
  readonly sourcePorts: PortRange;
  /** Of this host, of that family. */
  readonly ownAddresses?: readonly OwnAddress[] | undefined;
}

const ANY_PORT: PortRange = { first: 1, last: 65_535 };

export function checkFirewall(firewall: FirewallFacts, traffic: readonly ProtectedTraffic[]): Finding[] {
  const [first] = traffic;
  if (!first) return [];
  if ('unreadable' in firewall) {
    return [unknown('firewall', `UDP ${first.port}`, `the firewall cannot be read: ${firewall.unreadable}`)];
  }
  const faults = traffic.flatMap((each) =>
    (['in', 'out'] as const).flatMap((direction) => faultsIn(firewall.chains, each, direction)),
  );
  // A chain for both families is evaluated once for each; the remedy for one is that for the other.
  const distinct = [
    ...new Map(faults.toReversed().map((fault) => [`${fault.object} ${fault.remedy}`, fault])).values(),
  ];
  const count = firewall.chains.length;
  const seen =
    count === 0 ? 'there are no rules' : `${count} ${count === 1 ? 'chain lets' : 'chains let'} it in and out`;
  const object = `UDP ${first.port}`;
  const { unseen, unasked } = firewall;
  const note = unasked === undefined ? '' : `; ${unasked}`;
  return faultsOr(
    unseen && distinct.length > 0 ? [...distinct, unknown('firewall', object, unseen)] : distinct,
    unseen ? unknown('firewall', object, `${seen}, but ${unseen}${note}`) : ok('firewall', object, `${seen}${note}`),
  );
}

function faultsIn(chains: readonly BaseChain[], traffic: ProtectedTraffic, direction: Packet['direction']): Finding[] {
  const packets = packetsOf(traffic, direction);
  return chains.flatMap((chain) => {
    const concerned = packets.filter(
      (packet) => passes(chain, packet) && !(chain.isNat && isUntracked(chains, packet) === 'yes'),
    );
    const hindered = concerned.filter((packet) =>
      walk(chain, packet).outcomes.some(({ verdict }) => verdict !== 'accept'),
    );
    const faults = hindered.map((packet) => faultOf(chain, packet, hindered.length === concerned.length));
    // One is enough to know what to do, and a certain one is preferred.
    return faults.find(({ status }) => status === 'failed') ?? faults[0] ?? [];
  });
}

/** One datagram of each kind that rules may distinguish. */
function packetsOf(traffic: ProtectedTraffic, direction: Packet['direction']): Packet[] {
  const { dev, family, local, groups, port, sourcePorts, ownAddresses } = traffic;
  const vteps = some(traffic.vteps);
  const others = vteps.length > 0 ? vteps : [undefined];
  const common = {
    direction,
    family,
    dev,
    port,
    ownAddresses,
    sourcePorts: direction === 'in' ? ANY_PORT : sourcePorts,
  };
  const [anyOther] = others;
  if (direction === 'out') {
    return [...others, ...some(groups)].map((destination) => ({ ...common, source: local, destination }));
  }
  return [
    ...others.map((source) => ({ ...common, source, destination: local })),
    ...some(groups).map((destination) => ({ ...common, source: anyOther, destination })),
  ];
}

function some(addresses: readonly IpAddress[]): readonly IpAddress[] {
  return addresses.slice(0, MAX_PROBED_ADDRESSES);
}

/** @param isAny whether sender and destination do not matter */
function faultOf(chain: BaseChain, packet: Packet, isAny: boolean): Finding {
  const { outcomes, doubt } = walk(chain, packet);
  const { port, direction, source, destination } = packet;
  const object = `${packet.dev ?? 'any interface'}, UDP ${port} ${direction}`;
  const from = isAny || direction === 'out' || source === undefined ? '' : ` from ${source}`;
  const to = isAny || destination === undefined ? '' : ` to ${destination}`;
  const bad =
    outcomes.find(({ verdict }) => verdict === 'drop') ?? outcomes.find(({ verdict }) => verdict === 'rewrite');
  const { rule } = bad ?? { rule: doubt };
  const decider = rule ? `rule ${rule.name}` : `policy ${chain.policy}`;
  const opening = chain.opening(port);
  const rewrite = rule?.action.kind === 'rewrite' ? rule.action.rewrite : undefined;
  if (rewrite) {
    const isSure = outcomes.every(({ verdict }) => verdict === 'rewrite' || verdict === 'drop');
    const isFatal = isSure && !bad?.isHarmless;
    const may = isSure ? '' : 'may match: it ';
    const lasting =
      'existing flows keep it until they were silent for 30 s, or until their entries are deleted (conntrack -D)';
    const message = `${chain.name}: rule ${rule?.name} ${may}${describeRewrite(rewrite)}${from}${to}${chain.isNat ? `; ${lasting}` : ''}`;
    return isFatal ? failed('firewall', object, message, opening) : warning('firewall', object, message, opening);
  }
  if (outcomes.every(({ verdict }) => verdict === 'drop')) {
    const message = `${chain.name} drops VXLAN${from}${to}: ${decider}`;
    return failed('firewall', object, message, removalOf(chain, packet, rule) ?? opening);
  }
  const message = `${chain.name} may drop VXLAN${from}${to}: ${decider}`;
  const reason = doubt ? `rule ${doubt.name}` : 'whether it comes by an interface of the chain';
  // The rule that drops may itself be the one that cannot be evaluated.
  const why =
    doubt !== undefined && doubt === rule
      ? ' matches under conditions that are not evaluated'
      : `, which depends on ${reason}`;
  return warning('firewall', object, `${message}${why}`, opening);
}

/** A rule that matches only this port should be deleted, if nothing else drops VXLAN. */
function removalOf(chain: BaseChain, packet: Packet, rule: Rule | undefined): string | undefined {
  if (rule?.onlyPort !== packet.port) return undefined;
  return walk(chain, packet, rule).outcomes.every(({ verdict }) => verdict === 'accept') ? rule.removal : undefined;
}
