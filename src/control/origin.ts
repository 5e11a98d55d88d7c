/**
 * Who says where a MAC is or who gets the floods of a segment. The order is the precedence: the first one wins.
 *
 * | origin    | source                                                | ends                                |
 * | --------- | ----------------------------------------------------- | ----------------------------------- |
 * | `static`  | configuration, `fdb add`, `remote add`                | when it is deleted                  |
 * | `evpn`    | a control plane (BGP EVPN, RFC 7432)                  | when the control plane withdraws it |
 * | `learned` | source MACs of frames; the multicast group for floods | by age, eviction or flush           |
 */
export const ORIGINS = ['static', 'evpn', 'learned'] as const;
export type Origin = (typeof ORIGINS)[number];

/** An origin that speaks while vtepd runs and takes back itself what it said. */
export type ControlOrigin = Extract<Origin, 'evpn'>;
