/** `/v1/config`, `/v1/reload` and `/v1/log-level`: how the daemon is set up. On the control socket alone. */

import type { DaemonView } from '../../daemon-view.ts';
import { ConfigSchema, LogLevelSchema, NoQuerySchema, ReloadedSchema, ReloadQuerySchema } from '../../schemas.ts';
import type { TypedApi } from '../requests/api.ts';

export function addConfigRoutes(api: TypedApi, view: DaemonView): void {
  api.get(
    '/v1/config',
    {
      schema: {
        summary: 'The running configuration, in the form of a configuration file.',
        querystring: NoQuerySchema,
        response: { 200: ConfigSchema },
      },
    },
    async () => ({ ...(await view.config()) }),
  );

  api.post(
    '/v1/reload',
    {
      schema: {
        summary: 'Apply all changes of the configuration file or none; with `partial`, those that can be applied.',
        querystring: ReloadQuerySchema,
        response: { 200: ReloadedSchema },
      },
    },
    async ({ query: { partial = false } }) => ({ refused: [...(await view.reload({ partial }))] }),
  );

  api.post(
    '/v1/log-level',
    { schema: { summary: 'Set the lowest level that is logged.', querystring: NoQuerySchema, body: LogLevelSchema } },
    async (request, reply): Promise<void> => {
      view.setLogLevel(request.body.level);
      return reply.code(204).send();
    },
  );
}
