/** Every bound of the daemon, with its unit, its reason, and what happens at the bound. */

/** VXLAN network identifiers are 24 bits (RFC 7348 §5). */
export const MAX_VNI = 0xff_ffff;

/** The highest VLAN id: 4095 is reserved (IEEE 802.1Q §9.6). A higher `vlan=` is refused. */
export const MAX_VLAN = 4_094;

/** Segments one daemon carries. Sizes the shared counters; a further `--vni` is refused. */
export const MAX_SEGMENTS = 16_384;

/**
 * Remote VTEPs and groups known at once (ids are 16 bit, 0 is `local`). When full, frames are delivered but their MACs not learned, and a MAC that
 * was known elsewhere is forgotten: frames to it are flooded. Meanwhile VTEPs with few MACs that were silent longest are forgotten.
 */
export const MAX_REMOTES = 65_535;

/**
 * How many remotes of a full table are forgotten in a tenth of a second at most: enough for new hosts, and too few for forged addresses to evict the
 * others. The other number is how many are examined to find one. Only remotes with few MACs are forgotten, since forged ones have few.
 */
export const REMOTE_EVICTIONS_PER_TENTH = 16;
export const REMOTE_CANDIDATES = 32;
export const MAX_EVICTED_MACS = 4;

/**
 * Slots of a hash table that are examined for one key. Tables are at most half full, and regular keys need some tens. A key without a free slot is
 * not learned.
 */
export const MAX_HASH_PROBES = 512;

/** MAC entries of all VNIs together, static ones included. When full, learning evicts fairly; a static entry is refused. */
export const MAX_FDB_ENTRIES = 1_048_576;

/** `--max-macs`: default of learned MACs per VNI. When full, the VTEP with the most entries loses one. */
export const DEFAULT_MAX_MACS = 65_536;

/** `storm=`: frames per second, counted in tenths in 32 bits; more than any host floods. */
export const MAX_STORM_PPS = 100_000_000;

/** `--allow-vtep` prefixes: the source of each datagram is looked up among them. A further one is refused. */
export const MAX_ALLOWED_PREFIXES = 4_096;
/**
 * IP addresses whose MACs are known for ARP and ND suppression, all VNIs together; each is in one of 4 slots. When those are used, the oldest is
 * forgotten, and requests for it are flooded again.
 */
export const MAX_NEIGHBOURS = 65_536;

/** A neighbour that was not heard in ARP or ND for this long is not answered for, since it may be gone. Hosts ask again about as often. */
export const NEIGHBOUR_FRESH_SECONDS = 60;

/**
 * IP addresses whose MACs a control plane says, all VNIs together; a power of two. Each may stand in one of 8 records, of which there are twice as
 * many. Where those are taken, or all are, a further one is refused, and who asks for it is flooded. At the limit that are some 1 of 100.
 */
export const MAX_PLACED_NEIGHBOURS = 131_072;

/**
 * IP addresses heard behind the own TAP that a worker has told and the main thread has not read (32 octets each; a power of two). When full, a
 * further one is not told before it is heard again.
 */
export const MAX_TOLD_NEIGHBOURS = 1_024;

/** A worker tells a neighbour that it hears again and again so often at most. */
export const NEIGHBOUR_TOLD_AGAIN_SECONDS = 30;

/** VTEPs that a worker knows to be behind a smaller MTU; a power of two. A further one replaces another, which then loses one frame. */
export const MAX_PATH_LIMITS = 1_024;

/** After this long the kernel is asked again whether a path has a smaller MTU. It keeps what ICMP said for ten minutes (ip_rt_mtu_expires). */
export const PATH_LIMIT_SECONDS = 60;

/** ICMP and ICMPv6 answers to frames that are too large, per segment and worker. Beyond that, frames are dropped without an answer. */
export const TOO_BIG_ANSWERS_PER_SECOND = 10;
export const TOO_BIG_ANSWERS_BURST = 10;
/** Moves of one MAC within the window (RFC 7432 §15.1: N and M). A further one begins a hold, in which the MAC stays where it is. */
export const MAX_MAC_MOVES = 5;
export const MAC_MOVE_WINDOW_SECONDS = 180;
export const MAC_HOLD_SECONDS = 30;

/**
 * IP addresses that are announced by EVPN for one MAC behind the own TAP, and for all: what a placed neighbour needs at each receiver. A further one
 * replaces the one that was not heard for longest, if that was not heard for OWN_NEIGHBOUR_STALE_SECONDS. Else it is not announced.
 */
export const MAX_NEIGHBOURS_PER_MAC = 64;
export const MAX_OWN_NEIGHBOURS = 131_072;
export const OWN_NEIGHBOUR_STALE_SECONDS = 600;

/**
 * MACs that were behind the own TAP, whose sequence numbers are remembered (RFC 7432 §15). When full, the one that is away for longest is forgotten.
 * When it comes back, its number may be too low, until a route of another VTEP shows a higher one.
 */
export const MAX_REMEMBERED_SEQUENCES = 65_536;

/** How often a sequence number that the BGP speaker refuses is raised at once, by 1, 2, 4 and so on. Then the route waits like all that are refused. */
export const MAX_SEQUENCE_RAISES = 8;

/** A route that the BGP speaker refuses is announced again after this long. */
export const SPEAKER_RETRY_SECONDS = 30;

/** Changes of the FDB that wait for the reader (48 octets each; a power of two). When full, the oldest are lost, and listeners are told how many. */
export const MAX_FDB_EVENTS = 65_536;

/** Log lines a second on MACs that flap: otherwise forged sources could fill the disk. The others are counted in one line. */
export const MAX_FLAP_LINES_PER_SECOND = 10;

/**
 * Log lines of one event in an hour: peers, tenants and the host cause most of them, and a disk is finite. The others are
 * counted in one line at the end of the hour.
 */
export const MAX_LOG_LINES_PER_HOUR = 300;

/**
 * Bytes of log lines that wait to be written to standard output: with `--log-level debug` a start with thousands of VNIs logs a line for each in one
 * turn of the event loop. Beyond, lines are lost and counted.
 */
export const MAX_LOG_BACKLOG_BYTES = 1_048_576;

/** Remote VTEPs with metrics of their own, about six series each. Further ones have none until one of these is forgotten. */
export const MAX_VTEP_SERIES = 1_024;

/** Unicast remotes in one VNI's flood list: every flooded frame is sent to each. A further one is refused. */
export const MAX_FLOOD_REMOTES = 1_024;

/** Route targets of one VNI. Every route of the VNI carries all of them, 8 octets each. A further one is refused. */
export const MAX_ROUTE_TARGETS = 16;

/** `--evpn-hold`: a day, more than any restart takes. */
export const MAX_EVPN_HOLD_SECONDS = 86_400;

/**
 * A worker reports a member of a flood list that it hears again and again in the group this often at most. A member that EVPN names and that was not
 * reported for the second time gets unicast copies again: the group may not reach it any more.
 */
export const GROUP_MEMBER_TOLD_AGAIN_SECONDS = 20;
export const GROUP_MEMBER_SILENT_SECONDS = 60;

/** Unicast remotes that a control plane names for one VNI's flood list. A further one is refused, and gets no floods. */
export const MAX_FLOOD_MEMBERS = 4_096;

/**
 * Busy polling: a worker polls for this long before it sleeps, and only if the last packets were no further apart. An exchange once a millisecond
 * fits. It does not poll for packets that come less often than 500 times a second.
 */
export const BUSY_POLL_MS = 2;
/** A worker that yielded and got the processor back this late competes with others... */
export const BUSY_POLL_LOST_MS = 1;
/** ...and does not poll for this long. */
export const BUSY_POLL_REST_MS = 20;
/** Messages, and 2 KB of one, that a worker moves in a millisecond. If there are more, it costs less to sleep while they queue. */
export const BUSY_POLL_LOAD_PER_MS = 32;

/** `--workers`: each has a thread, a slab, a unicast socket per underlay family and a queue of every TAP, of which the kernel allows 256. */
export const MAX_WORKERS = 16;

/** `--source-ports`: one send socket each, and each a batch of headers in the slab. */
export const MAX_SOURCE_PORTS = 256;

/**
 * Underlay interfaces of one daemon, counted once for each family: each has a source-port pool, and its batches of headers in the slab. A further one
 * is refused.
 */
export const MAX_UNDERLAYS = 8;

/** Routes are read at most this often, however often they change. */
export const ROUTE_LOOK_PAUSE_MS = 500;

/** Addresses of the host that are known as its own. Datagrams from further ones are accepted, as from another host. */
export const MAX_HOST_ADDRESSES = 131_072;

/**
 * IGMP and MLD queries that are read in one go at each underlay interface and family, and the pause after as many: a sender of thousands can use the
 * main thread only for a few hundred a second. The kernel drops the rest.
 */
export const MAX_QUERIES_AT_ONCE = 32;
export const QUERY_FLOOD_PAUSE_MS = 100;

/**
 * The longest time that another counts as the querier without being heard, whatever interval it names. Otherwise one forged query could claim days.
 */
export const MAX_QUERIER_PRESENT_MS = 3_600_000;

/** Interface names, IFNAMSIZ - 1 (linux/if.h). The kernel would truncate a longer one silently. */
export const MAX_INTERFACE_NAME = 15;

/** The largest MTU a TAP takes (ETH_MAX_MTU less the Ethernet header, drivers/net/tun.c) and the smallest IPv4 needs (RFC 791). */
export const MAX_MTU_BYTES = 65_521;
export const MIN_MTU_BYTES = 68;

/** Receive buffers hold any UDP payload, whatever the MTU: a kernel peer on the same machine sends unsegmented super-frames. */
export const MAX_DATAGRAM_BYTES = 65_536;

/** The largest UDP payload over IPv4: 65,535 less the IPv4 and UDP headers. */
export const MAX_UDP_PAYLOAD_BYTES = 65_507;

/**
 * After a message in which UDP_GRO merged datagrams of several VNIs, the socket receives its datagrams one by one for this long. Nothing is lost,
 * but forwarding costs more.
 */
export const CUT_APART_SECONDS = 60;

/** Datagrams that one send is cut into by UDP_SEGMENT: what kernels before 6.9 allow (UDP_MAX_SEGMENTS, linux/udp.h). */
export const MAX_UDP_SEGMENTS = 64;

/**
 * Segments of a super-frame from a TAP; one with more is dropped as `oversize`. For TCP, options and payload of a segment are at least the kernel's
 * least MSS (tcp_min_snd_mss), which limits the segments of 64 KB. For UDP, what kernels since 6.9 segment (UDP_MAX_SEGMENTS).
 */
export const MIN_TCP_SEGMENT_BYTES = 48;
export const MAX_TCP_SUPER_SEGMENTS = 1_366;
export const MAX_UDP_SUPER_SEGMENTS = 128;

/** Datagrams that one frame becomes in total, segments times copies of a flood. A frame with more is dropped as `oversize`. */
export const MAX_DATAGRAMS_PER_FRAME = 65_536;

/** Seconds that `--ageing` takes: a year. The FDB's clock counts tenths of seconds in 32 bits. */
export const MAX_AGEING_SECONDS = 31_536_000;

/** Octets of a configuration file: a thousand for each of MAX_SEGMENTS VNIs. A longer one is refused. */
export const MAX_CONFIG_BYTES = 16_777_216;

/** Octets of a frame that is traced: from an Ethernet header alone to more than any TAP gives. */
export const MIN_TRACED_FRAME_BYTES = 14;
export const MAX_TRACED_FRAME_BYTES = 65_535;

/** Bytes of one API request body. A larger one is answered 413. */
export const MAX_API_BODY_BYTES = 1_048_576;

/**
 * API connections at once, on the control socket and on `--http` each. Each holds an fd and a parser; monitors stay open. For a further one, the
 * connection that was without a request for longest is closed. If all have a request, the new one is closed.
 */
export const MAX_API_CONNECTIONS = 64;

/** How often such closed connections are counted in one log line. */
export const API_FULL_LOG_INTERVAL_MS = 60_000;

/** Requests that one connection sends without waiting for the answers. A further one is refused. */
export const MAX_API_REQUESTS_AT_ONCE = 8;

/**
 * Listings of the forwarding table at once, and of the VTEPs, on each server: each keeps up to 10 MB until its client has read all of it. A further
 * one waits its turn, and is refused after LISTING_PATIENCE_MS. One that takes longer than LISTING_SHARE_MS is ended when another waits.
 */
export const MAX_LISTINGS = 4;
export const LISTING_PATIENCE_MS = 5_000;
export const LISTING_SHARE_MS = 10_000;

/** Clients of `/v1/events` at once, on each server, so that monitors leave connections for others. A further one is refused. */
export const MAX_EVENT_STREAMS = 16;

/** Bytes that wait for one such client to read. Beyond, events are lost to that client, which is told how many if it reads in time. */
export const MAX_EVENT_BACKLOG_BYTES = 1_048_576;

/** Captures at once, since each costs the workers a copy of each frame. A further one is refused. */
export const MAX_CAPTURES = 4;

/**
 * Frames that wait to be read, in each worker for each capture, a power of two: at 10 Gb/s, a few milliseconds. Memory is taken as it is used.
 * When full, further frames are not captured, and the client is told how many.
 */
export const CAPTURE_RING_BYTES = 4_194_304;

/** Octets of a frame that are captured: more than any TAP and any datagram have. */
export const MAX_CAPTURED_BYTES = 65_600;

/** Bytes that wait for a client of `/v1/capture` to read. Beyond, frames stay in the rings, until those are full. */
export const MAX_CAPTURE_BACKLOG_BYTES = 1_048_576;

/** How often the main thread looks into the rings, and how many frames and octets it formats before other work continues. */
export const CAPTURE_LOOK_MS = 20;
export const CAPTURE_SLICE_FRAMES = 256;
export const CAPTURE_SLICE_BYTES = 262_144;

/** Bytes of an API request's head: method, path, query and headers. vtepctl sends under 300. A larger one is answered 431. */
export const MAX_API_HEADER_BYTES = 8_192;

/** An API client has this long for the head of a request, and this long for the whole request. Then it is answered 408. */
export const API_HEADERS_TIMEOUT_MS = 5_000;
export const API_REQUEST_TIMEOUT_MS = 10_000;

/** An API client that reads nothing of its answer is disconnected after this long. */
export const API_STALL_MS = 30_000;

/** An API connection without a request is closed after this long. */
export const API_KEEP_ALIVE_MS = 5_000;

/** The control socket's path: sun_path holds 108 octets with the closing NUL (unix(7)), and `.new` is appended while the path is taken over. */
export const MAX_SOCKET_PATH_BYTES = 103;

/** `--state-dir`: the alias of a TAP, of at most 255 octets (IFALIASZ, linux/if.h), contains it after a few words. */
export const MAX_STATE_DIR_BYTES = 200;

/**
 * `--persist`: pause between two snapshots of the FDB, and at least this many times the duration of the last one: of a million entries, the disk then
 * takes a few MB in a few minutes. A crash loses what was learned since.
 */
export const SNAPSHOT_PAUSE_MS = 60_000;
export const SNAPSHOT_PAUSE_FACTOR = 100;

/** How often the drops are recorded for `vtepctl doctor`. It reports those since the snapshot before the last: of the last minute at most. */
export const DROP_SNAPSHOT_MS = 30_000;

/** Lines of one check of `vtepctl doctor`. Further findings are counted in the last line. */
export const MAX_FINDINGS_PER_CHECK = 16;

/** VTEPs that `vtepctl doctor` asks the kernel's route to, some microseconds each. Those beyond are left out. */
export const MAX_PROBED_VTEPS = 1_024;

/** VTEPs and groups that the firewall rules are evaluated for. Further ones are assumed to have the same result. */
export const MAX_PROBED_ADDRESSES = 8;

/**
 * Rules that are evaluated for one datagram, and elements of one set: some hundred milliseconds of the main thread in total. Beyond, the result is
 * not known.
 */
export const MAX_FIREWALL_STEPS = 5_000;
export const MAX_SET_ELEMENTS = 16_384;

/** Bytes read of one file of /proc, and of what `nft` writes. Of a longer file only the beginning is known; a longer ruleset, not at all. */
export const MAX_PROC_FILE_BYTES = 4_194_304;
export const MAX_PROGRAM_OUTPUT_BYTES = 8_388_608;

/** A program that `vtepctl doctor` asks is killed after this long. Less than vtepctl waits for an answer. */
export const PROGRAM_TIMEOUT_MS = 3_000;

/** Files of processes that are searched for the owner of a port, some microseconds each. Of those beyond, the owner is not known. */
export const MAX_HOLDER_FDS = 65_536;

/** `vtepctl doctor` listens this long on other ports of VXLAN if a VTEP was not heard. A station asks for a neighbour once a second. */
export const OTHER_PORTS_LISTEN_MS = 1_200;
export const MAX_PEERS_ON_OTHER_PORTS = 64;

/** Receive buffers asked for; the kernel grants less without CAP_NET_ADMIN. About 7 ms of traffic at 10 Gb/s. */
export const RECEIVE_BUFFER_BYTES = 8_388_608;

/**
 * Send buffers asked for; the kernel doubles the value. Datagrams to a neighbour that does not answer ARP or ND wait in the buffer of the sender for
 * three seconds, up to 212,992 octets for each (neigh unres_qlen_bytes): there must be room for MAX_FLOOD_REMOTES of them,
 * or unreachable ones would use the room of reachable ones. It is a bound, not memory: queueing disciplines have their own.
 */
export const SEND_BUFFER_BYTES = 134_217_728;

/** A datagram is sent again this often if the send failed with an ICMP error, since the error belongs to an earlier datagram. */
export const MAX_SEND_TRIES = 16;

/**
 * Orders that wait for a worker that hangs, some hundred octets each; a start with MAX_SEGMENTS VNIs has some for each. Beyond, the worker is
 * replaced when it runs again, and its successor gets the present state.
 */
export const MAX_UNANSWERED_ORDERS = 131_072;

/** A worker's blocking wait. Bounds how late it sees a stop order that was lost. */
export const WORKER_WAIT_MS = 250;

/** A worker's packet memory: receive and send buffers, headers of a batch for every source port. */
export const MAX_SLAB_BYTES = 67_108_864;

/** TAPs in other network namespaces that are read twice a second; the others follow in turn. */
export const MAX_TAPS_PER_LOOK = 128;

/**
 * A TAP that differs from the configuration is restored after this time, and a deleted one made again, so that an operator who deletes it can make
 * it first. At most this many times in a span, since another program may restore it too.
 */
export const TAP_UPKEEP = {
  patienceMs: 1_000,
  remakePatienceMs: 2_000,
  retryMs: 10_000,
  times: 3,
  spanMs: 60_000,
} as const;

/** Statuses of VNIs that are looked at between two turns of the event loop. */
export const STATUS_SLICE = 1_024;

/** A message of the BGP speaker. A larger one ends the connection. GoBGP before 3.28 sends all changes of one BGP message in one, 2 KB each. */
export const MAX_SPEAKER_MESSAGE_BYTES = 16_777_216;

/** Received octets of one request to the BGP speaker that wait to be read; it pauses beyond. */
export const SPEAKER_WINDOW_BYTES = 1_048_576;

/** Changes of routes that the BGP speaker has not answered. Further ones wait. More at a time do not make GoBGP faster. */
export const MAX_SPEAKER_REQUESTS = 64;

/** Routes of the BGP speaker that are handed over at a time, and the time on the main thread after which other work gets its turn. */
export const MAX_SPEAKER_PATHS = 256;
export const SPEAKER_SLICE_MS = 5;

/**
 * Waits for the BGP speaker, after which it is lost: for a connection and its first answer; for any other answer, since GoBGP before 3.26 needs
 * seconds for 64 changes of a large table; for a further part of the list. It is asked for its state each `probeMs`.
 */
export const SPEAKER_TIMES = {
  connectMs: 2_000,
  answerMs: 10_000,
  listMs: 30_000,
  probeMs: 5_000,
} as const;
