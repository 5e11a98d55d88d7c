import { VtepError } from '../lib/errors.ts';

/** The refusal of a VNI that the daemon does not have, in the words that all commands share. */
export function unknownVni(vni: number): VtepError {
  return new VtepError('ERR_VTEP_NOT_FOUND', {
    object: `VNI ${vni}`,
    cause: 'this vtepd does not have it',
    remedy: '`vtepctl vni show` lists its VNIs',
  });
}
