import { readString } from '../c-string.ts';
import { SysError } from '../sys-error.ts';
import { readMessage, readNested, readUint8 } from './netlink-message.ts';
import type { NetlinkSocket } from './netlink-socket.ts';

/** What can drop packets in addition to the packet filter: filters and queues of traffic control, XDP, IPsec policies, routing rules. */

const RTM_GETLINK = 18;
const RTM_NEWRULE = 32;
const RTM_GETRULE = 34;
const RTM_NEWQDISC = 36;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;

const IFINFOMSG_BYTES = 16;
const IFLA_XDP = 43;
const IFLA_XDP_ATTACHED = 2;

/** struct tcmsg: family 0, interface 4, handle 8, parent 12, info 16. */
const TCMSG_BYTES = 20;
const TCA_KIND = 1;
/** The parents of the clsact queueing discipline for ingress and egress, and the root (linux/pkt_sched.h). */
const PARENTS = { ingress: 0xffff_fff2, egress: 0xffff_fff3, root: 0 } as const;
/** Queueing disciplines that drop packets by configuration, not by load. */
const LOSING = ['netem', 'blackhole', 'plug'];

const FIB_RULE_HDR_BYTES = 12;
/** FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE and FR_ACT_PROHIBIT (linux/fib_rules.h). */
const REFUSING_ACTIONS = [6, 7, 8];

/** Those of an interface, for messages; empty if none. */
export function packetHooks(netlink: NetlinkSocket, { index, name }: { index: number; name: string }): string[] {
  const found: string[] = [];
  if (hasXdp(netlink, index)) found.push(`an XDP program on ${name}`);
  for (const [where, parent] of Object.entries(PARENTS)) {
    const kinds = [...new Set(filterKinds(netlink, index, parent))];
    if (kinds.length > 0) found.push(`tc filters on ${name} ${where} (${kinds.join(', ')})`);
  }
  for (const kind of new Set(queueKinds(netlink, index))) {
    if (LOSING.includes(kind)) found.push(`the queueing discipline ${kind} of ${name}`);
  }
  return found;
}

/** Routing rules that refuse instead of routing. */
export function hasRefusingRules(netlink: NetlinkSocket): boolean {
  const object = 'routing rules';
  const rules = netlink.query(RTM_GETRULE, [Buffer.alloc(FIB_RULE_HDR_BYTES)], object, { dump: true });
  return rules
    .filter(({ type }) => type === RTM_NEWRULE)
    .some((rule) => REFUSING_ACTIONS.includes(readMessage(rule, FIB_RULE_HDR_BYTES, object).fixed[7] as number));
}

function hasXdp(netlink: NetlinkSocket, index: number): boolean {
  const request = Buffer.alloc(IFINFOMSG_BYTES);
  request.writeInt32LE(index, 4);
  const object = `interface ${index}`;
  const [answer] = netlink.query(RTM_GETLINK, [request], object);
  const xdp = answer && readMessage(answer, IFINFOMSG_BYTES, object).attributes.get(IFLA_XDP);
  return (readUint8(readNested(xdp).get(IFLA_XDP_ATTACHED)) ?? 0) !== 0;
}

function filterKinds(netlink: NetlinkSocket, index: number, parent: number): string[] {
  try {
    return kindsOf(netlink, RTM_GETTFILTER, RTM_NEWTFILTER, index, parent);
  } catch (error) {
    // This interface has no such attach point.
    if (error instanceof SysError) return [];
    throw error;
  }
}

function queueKinds(netlink: NetlinkSocket, index: number): string[] {
  return kindsOf(netlink, RTM_GETQDISC, RTM_NEWQDISC, index, 0);
}

function kindsOf(netlink: NetlinkSocket, request: number, answer: number, index: number, parent: number): string[] {
  const tcmsg = Buffer.alloc(TCMSG_BYTES);
  tcmsg.writeInt32LE(index, 4);
  tcmsg.writeUInt32LE(parent, 12);
  const object = `traffic control of interface ${index}`;
  const messages = netlink.query(request, [tcmsg], object, { dump: true });
  return messages.flatMap((message) => {
    if (message.type !== answer) return [];
    const { fixed, attributes } = readMessage(message, TCMSG_BYTES, object);
    if (fixed.readInt32LE(4) !== index) return [];
    const kind = readString(attributes.get(TCA_KIND));
    return kind === '' ? [] : [kind];
  });
}
