/** Every bound of the daemon, with its unit and its reason. What happens at the bound stands with each. */

/** VXLAN network identifiers are 24 bits (RFC 7348 §5). */
export const MAX_VNI = 0xff_ffff;

/** The highest VLAN id that a VLAN can have: 4095 is kept (IEEE 802.1Q §9.6). A higher `vlan=` is refused. */
export const MAX_VLAN = 4_094;

/** Segments one daemon carries. Sizes the shared counters; a further `--vni` is refused. */
export const MAX_SEGMENTS = 16_384;

/**
 * Remote VTEPs and groups known at once (ids are 16 bit, 0 is `local`). When full, frames are delivered but their MACs not learned, and a MAC that
 * was known elsewhere is forgotten: frames to it are flooded. Meanwhile VTEPs with few MACs that were silent longest are forgotten.
 */
export const MAX_REMOTES = 65_535;

/**
 * Of a full table of remotes, so many are forgotten in a tenth of a second at most: enough for hosts that come, and too few for those who invent
 * addresses to push out the others. So many are looked at to find one, and only those with few MACs, which invented ones have.
 */
export const REMOTE_EVICTIONS_PER_TENTH = 16;
export const REMOTE_CANDIDATES = 32;
export const MAX_EVICTED_MACS = 4;

/** Slots of a hash table that are looked at for one key, of tables that are half full at most: honest ones need some tens. What finds no place is not learned. */
export const MAX_HASH_PROBES = 512;

/** MAC entries of all VNIs together, static ones included. When full, learning evicts fairly; a static entry is refused. */
export const MAX_FDB_ENTRIES = 1_048_576;

/** `--max-macs`: learned MACs per VNI unless said otherwise. When full, the VTEP with the most entries loses one. */
export const DEFAULT_MAX_MACS = 65_536;

/** `storm=`: frames per second, counted in tenths in 32 bits; more than any host floods. */
export const MAX_STORM_PPS = 100_000_000;

/** `--allow-vtep` prefixes: each datagram's source is looked for among them. A further one is refused. */
export const MAX_ALLOWED_PREFIXES = 4_096;
/**
 * IP addresses whose MACs are known for ARP and ND suppression, all VNIs together; each stands in one of 4 places. When those are taken, the one
 * heard longest ago goes, and who asks for it is flooded again.
 */
export const MAX_NEIGHBOURS = 65_536;

/** Nobody is answered for a neighbour that was not heard in ARP or ND so long: he may be gone. Hosts ask again about as often. */
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

/** VTEPs that a worker knows to be behind a smaller MTU; a power of two. A further one takes the place of another, which costs that one frame. */
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

/** Changes of the FDB that wait to be told (48 octets each; a power of two). When full, the oldest are lost, and listeners are told how many. */
export const MAX_FDB_EVENTS = 65_536;

/** Log lines a second on MACs that flap: whoever invents sources could else fill the disk. The others are counted in one line. */
export const MAX_FLAP_LINES_PER_SECOND = 10;

/**
 * Log lines of one event in an hour: peers, tenants and what goes on on the host make most of them happen, and a disk is finite. The others are
 * counted in one line at the end of the hour.
 */
export const MAX_LOG_LINES_PER_HOUR = 300;

/**
 * Bytes of log lines that wait to be written to standard output: with `--log-level debug` a start with thousands of VNIs logs a line for each in one
 * turn of the event loop. Beyond, lines are lost and counted.
 */
export const MAX_LOG_BACKLOG_BYTES = 1_048_576;

/** Remote VTEPs that have metrics of their own, some six series each. Those beyond have none, until one of these is forgotten. */
export const MAX_VTEP_SERIES = 1_024;

/** Unicast remotes in one VNI's flood list: every flooded frame is sent to each. A further one is refused. */
export const MAX_FLOOD_REMOTES = 1_024;

/** Unicast remotes that a control plane names for one VNI's flood list. A further one is refused, and gets no floods. */
export const MAX_FLOOD_MEMBERS = 4_096;

/**
 * Busy polling: a worker looks for this long before it sleeps, and only where the last packets were no further apart. Two a millisecond-paced
 * exchange fits; what comes less often than 500 times a second is not polled for.
 */
export const BUSY_POLL_MS = 2;
/** A worker that wanted to look again and got the processor back this late has competition... */
export const BUSY_POLL_LOST_MS = 1;
/** ...and sleeps like everybody else for so long. */
export const BUSY_POLL_REST_MS = 20;
/** Messages, and 2 KB of one, that a worker moves in a millisecond: where there are more, to let them gather and to sleep costs less. */
export const BUSY_POLL_LOAD_PER_MS = 32;

/** `--workers`: each has a thread, a slab, a unicast socket per underlay family and a queue of every TAP, of which the kernel allows 256. */
export const MAX_WORKERS = 16;

/** `--source-ports`: one send socket each, and each a batch of headers in the slab. */
export const MAX_SOURCE_PORTS = 256;

/** Underlay interfaces of one daemon, counted once for each family: each has a source-port pool, and its batches of headers in the slab. A further one is refused. */
export const MAX_UNDERLAYS = 8;

/** Routes are looked at so often at most, however often they change. */
export const ROUTE_LOOK_PAUSE_MS = 500;

/** Addresses of the host that are known as its own. Those beyond are not: what comes from them is taken, as from another host. */
export const MAX_HOST_ADDRESSES = 131_072;

/**
 * IGMP and MLD queries that are read in one go at each underlay interface and family, and the pause after as many: whoever sends thousands
 * keeps the main thread busy with a few hundred a second. The kernel drops the rest.
 */
export const MAX_QUERIES_AT_ONCE = 32;
export const QUERY_FLOOD_PAUSE_MS = 100;

/** The longest that another is taken for the querier without being heard, whatever interval it names: one forged query could else claim days. */
export const MAX_QUERIER_PRESENT_MS = 3_600_000;

/** Interface names, IFNAMSIZ - 1 (linux/if.h). The kernel would cut a longer one silently. */
export const MAX_INTERFACE_NAME = 15;

/** The largest MTU a TAP takes (ETH_MAX_MTU less the Ethernet header, drivers/net/tun.c) and the smallest IPv4 needs (RFC 791). */
export const MAX_MTU_BYTES = 65_521;
export const MIN_MTU_BYTES = 68;

/** Receive buffers hold any UDP payload, whatever the MTU: a kernel peer on the same machine sends unsegmented super-frames. */
export const MAX_DATAGRAM_BYTES = 65_536;

/** The largest UDP payload over IPv4: 65,535 less the IPv4 and UDP headers. */
export const MAX_UDP_PAYLOAD_BYTES = 65_507;

/**
 * After a message in which UDP_GRO put datagrams of several VNIs together, a socket's datagrams come one by one for so long. Meanwhile nothing
 * is lost, and forwarding costs more.
 */
export const CUT_APART_SECONDS = 60;

/** Datagrams that one send is cut into by UDP_SEGMENT: what kernels before 6.9 allow (UDP_MAX_SEGMENTS, linux/udp.h). */
export const MAX_UDP_SEGMENTS = 64;

/**
 * Segments of a super-frame that a TAP gives; one of more is dropped as `oversize`. Of TCP, options and payload of a segment are at least the
 * kernel's least MSS (tcp_min_snd_mss), and 64 KB of that are so many segments. Of UDP, what kernels since 6.9 cut (UDP_MAX_SEGMENTS).
 */
export const MIN_TCP_SEGMENT_BYTES = 48;
export const MAX_TCP_SUPER_SEGMENTS = 1_366;
export const MAX_UDP_SUPER_SEGMENTS = 128;

/** Datagrams that one frame becomes in all, segments times copies of a flood. One of more is dropped as `oversize`. */
export const MAX_DATAGRAMS_PER_FRAME = 65_536;

/** Seconds that `--ageing` takes: a year. The FDB's clock counts tenths of seconds in 32 bits. */
export const MAX_AGEING_SECONDS = 31_536_000;

/** Octets of a configuration file: a thousand for each of MAX_SEGMENTS VNIs. A longer one is refused. */
export const MAX_CONFIG_BYTES = 16_777_216;

/** Octets of a frame that is traced: from a bare Ethernet header to more than any TAP gives. */
export const MIN_TRACED_FRAME_BYTES = 14;
export const MAX_TRACED_FRAME_BYTES = 65_535;

/** Bytes of one API request body. A larger one is answered 413. */
export const MAX_API_BODY_BYTES = 1_048_576;

/**
 * API connections at once, on the control socket and on `--http` each. Each holds an fd and a parser; monitors stay open. For a further one the
 * one without a request for the longest time is closed; if all have one, it is closed itself.
 */
export const MAX_API_CONNECTIONS = 64;

/** What was closed so is counted in one log line so often. */
export const API_FULL_LOG_INTERVAL_MS = 60_000;

/** Requests that one connection sends without waiting for the answers. A further one is refused. */
export const MAX_API_REQUESTS_AT_ONCE = 8;

/**
 * Listings of the forwarding table at once, and of the VTEPs, on each server: each keeps up to 10 MB until its client has read all of it. A further one waits
 * its turn, and is refused after LISTING_PATIENCE_MS; one that takes longer than LISTING_SHARE_MS is cut when another waits.
 */
export const MAX_LISTINGS = 4;
export const LISTING_PATIENCE_MS = 5_000;
export const LISTING_SHARE_MS = 10_000;

/** Clients of `/v1/events` at once, on each, so that monitors leave connections to others. A further one is refused. */
export const MAX_EVENT_STREAMS = 16;

/** Bytes that wait for one such client to read. Beyond, events are lost to that client, which is told how many if it reads in time. */
export const MAX_EVENT_BACKLOG_BYTES = 1_048_576;

/** Captures at once, since each costs the workers a copy of what it takes. A further one is refused. */
export const MAX_CAPTURES = 4;

/**
 * Frames that wait to be read, in each worker for each capture, a power of two: at 10 Gb/s, a few milliseconds. Memory is taken as it is used.
 * When full, further frames are not captured, and whoever captures is told how many.
 */
export const CAPTURE_RING_BYTES = 4_194_304;

/** Octets of a frame that are captured: more than any TAP and any datagram have. */
export const MAX_CAPTURED_BYTES = 65_600;

/** Bytes that wait for a client of `/v1/capture` to read. Beyond, frames stay in the rings, until those are full. */
export const MAX_CAPTURE_BACKLOG_BYTES = 1_048_576;

/** How often the main thread looks into the rings, and how many frames and octets it puts into words before others have their turn. */
export const CAPTURE_LOOK_MS = 20;
export const CAPTURE_SLICE_FRAMES = 256;
export const CAPTURE_SLICE_BYTES = 262_144;

/** Bytes of an API request's head: method, path, query and headers. vtepctl sends under 300. A larger one is answered 431. */
export const MAX_API_HEADER_BYTES = 8_192;

/** An API client has this long for a request's head, and this long for all of it; then it is answered 408. */
export const API_HEADERS_TIMEOUT_MS = 5_000;
export const API_REQUEST_TIMEOUT_MS = 10_000;

/** An API client that takes nothing of what waits for it is cut off after this long. */
export const API_STALL_MS = 30_000;

/** An API connection without a request is closed after this long. */
export const API_KEEP_ALIVE_MS = 5_000;

/** The control socket's path: sun_path holds 108 octets with the closing NUL (unix(7)), and `.new` is put behind while it is taken. */
export const MAX_SOCKET_PATH_BYTES = 103;

/** `--state-dir`: a TAP's alias, of at most 255 octets (IFALIASZ, linux/if.h), says it behind a few words. */
export const MAX_STATE_DIR_BYTES = 200;

/**
 * `--persist`: pause between two snapshots of the FDB, and at least so many times what the last one took: of a million entries, the disk then
 * takes a few MB in a few minutes. A crash loses what was learned since.
 */
export const SNAPSHOT_PAUSE_MS = 60_000;
export const SNAPSHOT_PAUSE_FACTOR = 100;

/** How often the drops are written down for `vtepctl doctor`, which tells of those since the snapshot before the last: of the last minute at most. */
export const DROP_SNAPSHOT_MS = 30_000;

/** Lines of one check of `vtepctl doctor`: more, nobody reads. What exceeds them is counted in the last. */
export const MAX_FINDINGS_PER_CHECK = 16;

/** VTEPs that `vtepctl doctor` asks the kernel's route to, some microseconds each. Those beyond are left out. */
export const MAX_PROBED_VTEPS = 1_024;

/** VTEPs, and groups, that the firewall's rules are tried with; those beyond are taken to fare alike. */
export const MAX_PROBED_ADDRESSES = 8;

/** Rules that one datagram is tried with, and elements of one set: some hundred milliseconds of the main thread in all. Beyond, its fate is not known. */
export const MAX_FIREWALL_STEPS = 5_000;
export const MAX_SET_ELEMENTS = 16_384;

/** Bytes read of one file of /proc, and of what `nft` writes. Of a longer file only the beginning is known; a longer ruleset, not at all. */
export const MAX_PROC_FILE_BYTES = 4_194_304;
export const MAX_PROGRAM_OUTPUT_BYTES = 8_388_608;

/** A program that `vtepctl doctor` asks is killed after this long. Less than vtepctl waits for an answer. */
export const PROGRAM_TIMEOUT_MS = 3_000;

/** Files of processes that are looked at for who has a port, some microseconds each. Of those beyond, the owner is not known. */
export const MAX_HOLDER_FDS = 65_536;

/** `vtepctl doctor` listens so long on other ports of VXLAN where some VTEP was not heard: a machine asks for a neighbour once in a second. */
export const OTHER_PORTS_LISTEN_MS = 1_200;
export const MAX_PEERS_ON_OTHER_PORTS = 64;

/** Receive buffers asked for; the kernel grants less without CAP_NET_ADMIN. About 7 ms of traffic at 10 Gb/s. */
export const RECEIVE_BUFFER_BYTES = 8_388_608;

/**
 * Send buffers asked for, of which the kernel makes twice as much room. What is sent to a neighbour that does not answer ARP or ND waits in the
 * sender's buffer for three seconds, up to 212,992 octets for each (neigh unres_qlen_bytes): there must be room for MAX_FLOOD_REMOTES of them,
 * or those that are dead would take it from those that live. It is a bound, not memory: queueing disciplines have their own.
 */
export const SEND_BUFFER_BYTES = 134_217_728;

/** A datagram is sent again so often if the send failed by an ICMP error, which is an earlier one's. */
export const MAX_SEND_TRIES = 16;

/**
 * Orders that wait for a worker that hangs, some hundred octets each; a start with MAX_SEGMENTS VNIs has some for each. Beyond, it is replaced
 * when it turns again, and its successor learns the present state.
 */
export const MAX_UNANSWERED_ORDERS = 131_072;

/** A worker's blocking wait. Bounds how late it sees a stop order that was lost. */
export const WORKER_WAIT_MS = 250;

/** A worker's packet memory: receive and send buffers, headers of a batch for every source port. */
export const MAX_SLAB_BYTES = 67_108_864;

/** TAPs in other network namespaces that are looked at twice a second: the others have their turn. */
export const MAX_TAPS_PER_LOOK = 128;

/**
 * What somebody changed of a TAP against the configuration is put back so long after, and a deleted one made anew: who deletes it to make it
 * himself has that time. At most so many times in a span: somebody else may be putting it back too.
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
