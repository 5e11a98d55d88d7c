/**
 * The origin of a MAC's place or of a flood list member. The order is the precedence: the first one wins.
 *
 * | origin    | source                                                | ends                                |
 * | --------- | ----------------------------------------------------- | ----------------------------------- |
 * | `static`  | configuration, `fdb add`, `remote add`                | when it is deleted                  |
 * | `evpn`    | a control plane (BGP EVPN, RFC 7432)                  | when the control plane withdraws it |
 * | `learned` | source MACs of frames; the multicast group for floods | by age, eviction or flush           |
 */
export const ORIGINS = ['static', 'evpn', 'learned'] as const;
export type Origin = (typeof ORIGINS)[number];

/** An origin that announces state at run time and withdraws it itself. */
export type ControlOrigin = Extract<Origin, 'evpn'>;
