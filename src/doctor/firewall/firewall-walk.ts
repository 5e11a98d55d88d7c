import { MAX_FIREWALL_STEPS } from '../../lib/limits.ts';
import type { Packet, PortRange } from './firewall-packet.ts';
import { effectOf, type Rewrite } from './firewall-rewrite.ts';

/** The result of one datagram in a chain of packet filter rules, as far as they can be evaluated. */

export type Match = 'yes' | 'no' | 'maybe';

export type Action =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'none' | 'unknown' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  | { readonly kind: 'rewrite'; readonly rewrite: Rewrite };

export interface Rule {
  /** Name for messages. */
  readonly name: string;
  readonly matches: (packet: Packet) => Match;
  readonly action: Action;
  /** Connections that it matches are not tracked. */
  readonly exemptsFromTracking?: boolean | undefined;
  /** The port, if the rule matches nothing else; undefined: it matches more. */
  readonly onlyPort?: number | undefined;
  /** The command that deletes it. */
  readonly removal?: string | undefined;
}

export type Hook = 'ingress' | 'prerouting' | 'input' | 'output' | 'postrouting' | 'egress';

/** A chain that the kernel hands packets to. */
export interface BaseChain {
  /** Name for messages, e.g. `inet filter input`. */
  readonly name: string;
  readonly hook: Hook;
  readonly families: readonly (4 | 6)[];
  /** Interfaces of a netdev chain; undefined: any, or not known. */
  readonly devs: readonly string[] | undefined;
  /** Address translation: untracked connections do not pass it. */
  readonly isNat: boolean;
  readonly policy: 'accept' | 'drop';
  readonly rules: readonly Rule[];
  /** The other chains of its table. */
  readonly chains: ReadonlyMap<string, readonly Rule[]>;
  /** The command that lets a port through, before every other rule. */
  readonly opening: (port: number) => string;
}

/** A path that a packet may take. */
export interface Outcome {
  readonly verdict: 'accept' | 'drop' | 'rewrite' | 'unknown';
  /** It is rewritten and continues. */
  readonly isHarmless?: boolean | undefined;
  /** The rule that decides; undefined: the policy of the chain. */
  readonly rule: Rule | undefined;
}

export interface Walked {
  /** At least one; several if not every rule could be evaluated. */
  readonly outcomes: readonly Outcome[];
  /** The first rule that could not be evaluated. */
  readonly doubt: Rule | undefined;
}

/** The deepest jump in the kernel (NFT_JUMP_STACK_SIZE). It refuses deeper ones. */
const MAX_DEPTH = 16;

/** In the order in which a datagram passes them. */
const HOOKS: Readonly<Record<Packet['direction'], readonly Hook[]>> = {
  in: ['ingress', 'prerouting', 'input'],
  out: ['output', 'postrouting', 'egress'],
};

/** Whether a packet passes a chain. */
export function passes({ hook, families, devs }: BaseChain, { direction, family, dev }: Packet): boolean {
  if (!HOOKS[direction].includes(hook) || !families.includes(family)) return false;
  return devs === undefined || dev === undefined || devs.includes(dev);
}

/** @param without a rule that is left out */
export function walk(chain: BaseChain, packet: Packet, without?: Rule): Walked {
  const outcomes: Outcome[] = [];
  let doubt: Rule | undefined;
  let steps = 0;

  /** @returns whether the packet may pass to the end, or leave by `return` */
  const through = (rules: readonly Rule[], depth: number): boolean => {
    let mayReturn = false;
    for (const rule of rules) {
      if (rule === without) continue;
      const { action } = rule;
      const isTooMuch = ++steps > MAX_FIREWALL_STEPS || depth > MAX_DEPTH;
      const match = isTooMuch ? 'maybe' : rule.matches(packet);
      if (match === 'no' || (action.kind === 'none' && !isTooMuch)) continue;
      if (match === 'maybe') doubt ??= rule;
      const isSure = match === 'yes';
      if (isTooMuch) {
        outcomes.push({ verdict: 'unknown', rule });
        return mayReturn;
      }
      if (action.kind === 'jump') {
        const goesOn = through(chain.chains.get(action.chain) ?? [], depth + 1);
        if (isSure && !goesOn) return mayReturn;
      } else if (action.kind === 'goto') {
        const comesBack = through(chain.chains.get(action.chain) ?? [], depth + 1);
        mayReturn ||= comesBack;
        if (isSure) return mayReturn;
      } else if (action.kind === 'return') {
        mayReturn = true;
        if (isSure) return true;
      } else if (action.kind === 'rewrite') {
        const effect = effectOf(action.rewrite, packet);
        if (effect === 'unknown') doubt ??= rule;
        if (effect === 'unknown') outcomes.push({ verdict: 'unknown', rule });
        else if (effect === 'none') outcomes.push({ verdict: 'accept', rule });
        else outcomes.push({ verdict: 'rewrite', rule, isHarmless: effect === 'harmless' });
        // Translation ends the chain. A statement that writes into a header does not, and its result is not followed.
        if (isSure && effect !== 'unknown') return mayReturn;
      } else if (action.kind !== 'none') {
        if (action.kind === 'unknown') doubt ??= rule;
        outcomes.push({ verdict: action.kind, rule });
        if (isSure && action.kind !== 'unknown') return mayReturn;
      }
    }
    return true;
  };

  if (chain.devs === undefined && (chain.hook === 'ingress' || chain.hook === 'egress')) {
    // The interface of the chain is not known: it may be another one.
    outcomes.push({ verdict: 'accept', rule: undefined });
  }
  if (through(chain.rules, 0)) outcomes.push({ verdict: chain.policy, rule: undefined });
  return { outcomes, doubt };
}

/** Whether a datagram's connection is exempted from tracking, and so from translation, by rules of chains that come before. */
export function isUntracked(chains: readonly BaseChain[], packet: Packet): Match {
  const early = chains.filter((chain) => passes(chain, packet) && ['prerouting', 'output'].includes(chain.hook));
  return anyOf(
    early.flatMap(({ rules }) => rules.filter((rule) => rule.exemptsFromTracking)).map((rule) => rule.matches(packet)),
  );
}

/** For conditions that must all hold. */
export function allOf(conditions: readonly ((packet: Packet) => Match)[]): (packet: Packet) => Match {
  return (packet) => {
    let result: Match = 'yes';
    for (const condition of conditions) {
      const match = condition(packet);
      if (match === 'no') return 'no';
      if (match === 'maybe') result = 'maybe';
    }
    return result;
  };
}

/** For conditions of which one must hold. */
export function anyOf(matches: Iterable<Match>): Match {
  let result: Match = 'no';
  for (const match of matches) {
    if (match === 'yes') return 'yes';
    if (match === 'maybe') result = 'maybe';
  }
  return result;
}

export function not(match: Match): Match {
  return match === 'maybe' ? 'maybe' : match === 'yes' ? 'no' : 'yes';
}

/** Whether a number within the range `value` is in `wanted`. */
export function inRange(value: PortRange, wanted: PortRange): Match {
  if (value.first >= wanted.first && value.last <= wanted.last) return 'yes';
  return value.last < wanted.first || value.first > wanted.last ? 'no' : 'maybe';
}
