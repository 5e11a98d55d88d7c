import { VtepError } from '../lib/errors.ts';

/** The daemon has no EVPN. */
export function noEvpn(): VtepError {
  const remedy = 'start vtepd with --evpn ADDR';
  return new VtepError('ERR_VTEP_NOT_FOUND', { object: 'evpn', cause: 'this vtepd runs without BGP EVPN', remedy });
}
