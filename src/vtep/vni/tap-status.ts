import type { Link } from '../../sys/netlink/links.ts';
import { hasTap, seenTap, type Vni } from './vni.ts';

/** The part of a VNI that describes its TAP. */
type WithTap = Pick<Vni, 'config' | 'link' | 'elsewhere' | 'master'>;

/** The present name of the TAP, with the name in the configuration if it was renamed. */
export function tapLabel(vni: Pick<Vni, 'config' | 'link' | 'elsewhere'>): string {
  const { tap } = vni.config;
  const name = seenTap(vni)?.name ?? tap;
  return name === tap ? tap : `${name} (${tap})`;
}

/** The namespace of the TAP, as text. */
export function namespaceLabel({ namespace }: { readonly namespace: string | undefined }): string {
  return namespace === undefined ? 'another namespace' : `namespace ${namespace}`;
}

/**
 * The `ip link` command for a TAP in its namespace. null: the namespace has no name. @param elsewhere undefined: the TAP is in the namespace of vtepd
 */
export function ipLinkIn(elsewhere: { readonly namespace: string | undefined } | undefined): string | null {
  if (!elsewhere) return 'ip link';
  return elsewhere.namespace === undefined ? null : `ip -n ${elsewhere.namespace} link`;
}

/** The first fault of the TAP that keeps a VNI from working as configured, or undefined. */
export function tapFault(vni: WithTap): string | undefined {
  const { config, elsewhere, master } = vni;
  const seen = seenTap(vni);
  const label = tapLabel(vni);
  if (!hasTap(vni)) return `${label} is gone`;
  if (!seen) return `${label} is in another namespace, which vtepd may not read`;
  if (!seen.up) return elsewhere ? `${label} in ${namespaceLabel(elsewhere)} is down` : `${label} is down`;
  if (elsewhere && config.bridge !== undefined) {
    return `${label} is in ${namespaceLabel(elsewhere)}, not in ${config.bridge}`;
  }
  return (elsewhere ? undefined : portFault(vni, label, seen)) ?? settingFault(config, label, seen, master);
}

/** The effect of a bridge on the TAP, whether the bridge is configured or not. */
function portFault({ config, master }: WithTap, label: string, seen: Link): string | undefined {
  if (config.bridge !== undefined && config.bridge !== master?.name) {
    return master ? `${label} is in ${master.name}, not in ${config.bridge}` : `${label} is not in ${config.bridge}`;
  }
  if (master?.kind !== 'bridge') return undefined;
  if (!master.up) return `${master.name} is down`;
  if (seen.portState === undefined || seen.portState === 'forwarding') return undefined;
  return `${label} is ${seen.portState} in ${master.name}${master.spanningTree?.isOn ? ' (spanning tree)' : ''}`;
}

/** A bond or team sets the MAC of its members. */
function settingFault({ mac, mtuBytes }: Vni['config'], label: string, seen: Link, master: Link | undefined) {
  const isMacOwn = master === undefined || master.kind === 'bridge';
  if (mac !== undefined && isMacOwn && seen.mac !== mac) return `${label} has MAC ${seen.mac}, not ${mac}`;
  if (mtuBytes !== undefined && seen.mtuBytes !== mtuBytes) {
    return `${label} has MTU ${seen.mtuBytes}, not ${mtuBytes}`;
  }
  return undefined;
}
