/** `/v1/config`, `/v1/reload` and `/v1/log-level`: how the daemon is set up. On the control socket alone. */

import type { DaemonView } from '../../daemon-view.ts';
import { ConfigSchema, LogLevelSchema, NoQuerySchema, ReloadedSchema, ReloadQuerySchema } from '../../schemas.ts';
import type { TypedApi } from '../requests/api.ts';

export function addConfigRoutes(api: TypedApi, view: DaemonView): void {
  api.get(
    '/v1/config',
    {
      schema: {
        summary: 'What runs, as a configuration file has it.',
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
        summary:
          'Apply what is new in the configuration file: all of it or nothing, or with `partial` what can be applied.',
        querystring: ReloadQuerySchema,
        response: { 200: ReloadedSchema },
      },
    },
    async ({ query: { partial = false } }) => ({ refused: [...(await view.reload({ partial }))] }),
  );

  api.post(
    '/v1/log-level',
    { schema: { summary: 'Log from this level on.', querystring: NoQuerySchema, body: LogLevelSchema } },
    async (request, reply): Promise<void> => {
      view.setLogLevel(request.body.level);
      return reply.code(204).send();
    },
  );
}
