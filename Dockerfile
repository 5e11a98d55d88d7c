# A VTEP needs the network of the host, the right to make TAPs in it, and the TUN device:
#
#   docker run --network host --cap-drop ALL --cap-add NET_ADMIN --device /dev/net/tun \
#     --read-only --tmpfs /run/vtepd --security-opt no-new-privileges vtepd --dev eth0 --vni 100=239.1.1.1
#
# Add --cap-add NET_RAW for --querier, and for the querier in vtepctl status. Adopted TAPs and a configuration file
# (-v /etc/vtepd:/etc/vtepd:ro, then --config) work as on a host. For vtepctl: docker exec CONTAINER vtepctl fdb show

FROM node:20-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY scripts scripts
COPY man man
COPY assembly assembly
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:20-bookworm-slim
WORKDIR /opt/vtepd
ENV NODE_ENV=production
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY bin bin
COPY LICENSE ./
RUN ln -s /opt/vtepd/bin/vtepd /opt/vtepd/bin/vtepctl /usr/local/bin/
# Root in the container, because Docker gives added capabilities to root only. Root has no other capability here.
# `node` as the first process, so that signals reach vtepd itself.
ENTRYPOINT ["node", "/opt/vtepd/bin/vtepd"]
