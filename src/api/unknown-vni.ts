import { VtepError } from '../lib/errors.ts';

/** The error for a VNI that the daemon does not have, the same for all commands. */
export function unknownVni(vni: number): VtepError {
  return new VtepError('ERR_VTEP_NOT_FOUND', {
    object: `VNI ${vni}`,
    cause: 'this vtepd does not have it',
    remedy: '`vtepctl vni show` lists its VNIs',
  });
}
