import { SPEAKER_TIMES } from '../../lib/limits.ts';
import { type ConnectSpeaker, type Dialect, SpeakerLost } from '../speaker.ts';
import { DIALECTS } from './dialect.ts';
import { GobgpSpeaker } from './gobgp-speaker.ts';
import { GrpcConnection } from './grpc-connection.ts';
import { GRPC_STATUS, GrpcError } from './grpc-status.ts';
import { readGlobal } from './peer-messages.ts';
import { EMPTY_REQUEST } from './requests.ts';

/** Connects to GoBGP. The dialect is found anew each time, since an upgrade of GoBGP changes it. */
export const connectGobgp: ConnectSpeaker = async (address) => {
  const connection = await GrpcConnection.open(address);
  try {
    for (const dialect of ['v4', 'v3'] as const) {
      const answer = await getBgp(connection, dialect);
      if (!answer) continue;
      const global = readGlobal(answer);
      if (!global) throw new SpeakerLost('it has no configuration yet');
      return new GobgpSpeaker(connection, { dialect, ...global });
    }
    throw new SpeakerLost('it is not GoBGP: its API has neither api.GoBgpService nor apipb.GobgpApi');
  } catch (error) {
    connection.lose('it cannot be used');
    throw error instanceof SpeakerLost ? error : new SpeakerLost((error as Error).message);
  }
};

/** undefined: the server does not have the service. */
async function getBgp(connection: GrpcConnection, dialect: Dialect): Promise<Uint8Array | undefined> {
  try {
    const path = `${DIALECTS[dialect].service}/GetBgp`;
    return await connection.unary(path, EMPTY_REQUEST, SPEAKER_TIMES.connectMs);
  } catch (error) {
    if (error instanceof GrpcError && error.status === GRPC_STATUS.unimplemented) return undefined;
    throw error;
  }
}
