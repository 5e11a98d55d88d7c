/** `/v1/trace`: what would happen to a frame. On the control socket only, since it reveals as much as the whole table. */

import type { DaemonView } from '../../daemon-view.ts';
import { TraceQuerySchema, TraceSchema } from '../../schemas.ts';
import type { TypedApi } from '../requests/api.ts';
import { readTracedFrame } from '../requests/request-values.ts';

export function addTraceRoutes(api: TypedApi, view: DaemonView): void {
  api.get(
    '/v1/trace',
    {
      schema: {
        summary: 'What would happen to a frame, step by step; nothing is changed.',
        querystring: TraceQuerySchema,
        response: { 200: TraceSchema },
      },
    },
    async (request) => view.trace(readTracedFrame(request.query)),
  );
}
