# A VTEP needs the host's network, the right to make TAPs in it, and the TUN device:
#
#   docker run --network host --cap-add NET_ADMIN --device /dev/net/tun vtepd --dev eth0 --vni 100=239.1.1.1
#
# Docker grants NET_RAW by itself, which --querier needs and the querier in vtepctl status.
# For vtepctl: docker exec CONTAINER vtepctl fdb show

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
# Root inside, because added capabilities go to root alone. `node` as the first process, so that signals reach vtepd itself.
ENTRYPOINT ["node", "/opt/vtepd/bin/vtepd"]
