/** Datagrams that leave together: which do, how the kernel cuts them, and what if it does not. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { MAX_UDP_PAYLOAD_BYTES, MAX_UDP_SEGMENTS } from '../lib/limits.ts';
import { close, getsockname, recv } from '../sys/libc.ts';
import { openUnicastSocket } from '../sys/socket/udp-socket.ts';
import { closeAll, newQueue, Receiver, segment } from './send-queue-rig.ts';

const EINVAL = 22;
const [ONE, OTHER] = ['127.4.0.2', '127.4.0.3'];

afterEach(closeAll);

/** Texts of these lengths, each told from the others by its start. */
const textsOf = (lengths: readonly number[], name = '') =>
  lengths.map((length, i) => `${name}${i}`.padEnd(length, '-').slice(0, length));

const repeat = (count: number, length: number) => Array<number>(count).fill(length);

describe('datagrams that are pushed one by one', () => {
  it('cuts runs of equal length into the datagrams they were, the last of a run shorter, each whole and in order', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, refusals } = newQueue(receiver.port);
    const texts = [900, 900, 900, 300, 900, 900, 20, 20, 21, 21, 400].map((length, i) => `${i}`.padEnd(length, '-'));
    for (const text of texts) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(texts.length)).toEqual(texts);
    expect(counters.packets()).toBe(texts.length);
    expect(refusals).toEqual([]);
  });

  it('ends a run where the kernel would refuse it: more octets than a UDP datagram can have', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, drops, refusals } = newQueue(receiver.port);
    const texts = Array.from({ length: 12 }, (_, i) => `${i}`.padEnd(8_900, '-'));
    for (const text of texts) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(texts.length)).toEqual(texts);
    expect([drops(), refusals]).toEqual([{}, []]);
  });

  it('repeats runs that the kernel will not cut one by one, and cuts none after the second', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, drops, refuseRuns, segmentation, refusals } = newQueue(receiver.port);
    refuseRuns();
    for (const text of ['header--1', 'header--2', 'header--3']) push(text, '127.4.0.2');
    queue.flush();
    // Once proves nothing.
    expect(segmentation.isOn).toBe(true);
    for (const text of ['header--a', 'header--b']) push(text, '127.4.0.2');
    queue.flush();
    expect(segmentation.isOn).toBe(false);
    for (const text of ['header--4', 'header--5']) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(7)).toEqual([1, 2, 3, 'a', 'b', 4, 5].map((i) => `header--${i}`));
    expect([drops(), refusals]).toEqual([{}, [EINVAL]]);
  });
});

describe('datagrams that stand one behind the other', () => {
  it.each<[string, number[]]>([
    ['all of one length', repeat(10, 500)],
    ['the last shorter', [...repeat(10, 500), 1]],
    ['one', [500]],
    [`as many as a message holds`, repeat(MAX_UDP_SEGMENTS, 50)],
    [`as many octets as a message holds`, [...repeat(44, 1_456), MAX_UDP_PAYLOAD_BYTES - 44 * 1_456]],
  ])('leave as one message and arrive as they were: %s', async (_what, lengths) => {
    const receiver = await Receiver.open(ONE);
    const { queue, pushRun, counters, refusals } = newQueue(receiver.port);
    const texts = textsOf(lengths);
    pushRun(texts, ONE);
    queue.flush();
    expect(await receiver.hasReceived(texts.length)).toEqual(texts);
    const bytes = lengths.reduce((sum, length) => sum + length - 8, 0);
    expect(counters.passed).toEqual([{ segment: 0, bytes, packets: lengths.length }]);
    expect(refusals).toEqual([]);
  });

  /** Pushes are named by their lengths; the result is the packets of each message. */
  it.each<[string, number[][], number[]]>([
    ['a run and one of its length', [repeat(3, 90), [90]], [4]],
    ['a run and a shorter one', [repeat(3, 90), [80]], [4]],
    ['a run and a run of its length', [repeat(3, 90), [90, 90, 20]], [6]],
    ['a shorter end and more', [[90, 90, 20], [90], [20]], [3, 2]],
    ['a longer one', [repeat(3, 90), [91]], [3, 1]],
    ['one, and a run of shorter ones', [[900], repeat(3, 90)], [1, 3]],
    ['a run, and a run of shorter ones that together are shorter', [repeat(2, 900), [90, 90, 20]], [2, 3]],
    ['more than a message holds', [repeat(40, 90), repeat(40, 90)], [40, 40]],
    ['just what a message holds', [repeat(40, 90), repeat(24, 90)], [64]],
    ['more octets than a message holds', [repeat(40, 1_400), repeat(20, 1_400)], [40, 20]],
  ])('leave with others where the kernel cuts them again: %s', async (_what, pushes, packets) => {
    const receiver = await Receiver.open(ONE);
    const { queue, pushRun, counters, drops } = newQueue(receiver.port);
    const runs = pushes.map((lengths, i) => textsOf(lengths, `${i}:`));
    for (const run of runs) pushRun(run, ONE);
    queue.flush();
    expect(await receiver.hasReceived(runs.flat().length)).toEqual(runs.flat());
    expect(counters.passed.map((each) => each.packets)).toEqual(packets);
    expect(drops()).toEqual({});
  });

  it('of different segments or destinations never leave together', async () => {
    const one = await Receiver.open(ONE);
    const other = await Receiver.open(OTHER, one.port);
    const { queue, pushRun, counters } = newQueue(one.port);
    pushRun(textsOf(repeat(2, 90), 'a'), ONE, segment(0));
    pushRun(textsOf(repeat(2, 90), 'b'), ONE, segment(2));
    pushRun(textsOf(repeat(2, 90), 'c'), OTHER, segment(2));
    queue.flush();
    expect(await one.hasReceived(4)).toEqual([...textsOf([90, 90], 'a'), ...textsOf([90, 90], 'b')]);
    expect(await other.hasReceived(2)).toEqual(textsOf([90, 90], 'c'));
    expect(counters.passed.map((each) => [each.segment, each.packets])).toEqual([
      [0, 2],
      [2, 2],
      [2, 2],
    ]);
  });

  it('are cut and sent one by one where the kernel refuses to, and from then on, which is told once', async () => {
    const receiver = await Receiver.open(ONE);
    const { queue, pushRun, refuseRuns, segmentation, refusals, counters, drops } = newQueue(receiver.port);
    refuseRuns();
    const texts = textsOf([...repeat(63, 90), 50]);
    for (let round = 0; round < 3; round++) {
      pushRun(texts, ONE);
      queue.flush();
    }
    expect(await receiver.hasReceived(3 * 64)).toEqual([texts, texts, texts].flat());
    expect([segmentation.isOn, refusals, drops()]).toEqual([false, [EINVAL], {}]);
    expect([counters.packets(), counters.bytes()]).toEqual([3 * 64, 3 * (63 * 82 + 42)]);
  });

  it('leave together again after one was refused, as while the source address was away for a moment', async () => {
    const receiver = await Receiver.open(ONE);
    const { queue, pushRun, refuseRuns, segmentation, refusals, drops } = newQueue(receiver.port);
    const texts = textsOf(repeat(5, 90));
    for (let round = 0; round < 6; round++) {
      refuseRuns(round % 2 === 0);
      pushRun(texts, ONE);
      queue.flush();
    }
    expect(await receiver.hasReceived(30)).toEqual(Array(6).fill(texts).flat());
    expect([segmentation.isOn, refusals, drops()]).toEqual([true, [], {}]);
  });

  it('that are lost whatever is tried are counted each, and segmentation stays on', () => {
    const { queue, pushRun, segmentation, refusals, counters, drops } = newQueue(9);
    // A broadcast without SO_BROADCAST is EACCES.
    pushRun(textsOf(repeat(5, 90)), '255.255.255.255');
    queue.flush();
    expect([counters.passed, drops()]).toEqual([[], { 'send-error': 5 }]);
    expect([segmentation.isOn, refusals]).toEqual([true, []]);
  });
});

describe('whatever is pushed', () => {
  function openReceivers() {
    const fds = [openUnicastSocket(parseIp(ONE) as IpAddress, 0)];
    const name = Buffer.alloc(16);
    getsockname(fds[0] as number, name, Buffer.from([16, 0, 0, 0]));
    const port = name.readUInt16BE(2);
    fds.push(openUnicastSocket(parseIp(OTHER) as IpAddress, port));
    return { fds, port };
  }

  const scratch = Buffer.alloc(65_536);

  function receiveAll(fd: number): string[] {
    const texts: string[] = [];
    for (
      let length = recv(fd, scratch, scratch.length, 0);
      length >= 0;
      length = recv(fd, scratch, scratch.length, 0)
    ) {
      texts.push(scratch.toString('latin1', 0, length));
    }
    return texts;
  }

  const sizes = fc.oneof(fc.integer({ min: 8, max: 60 }), fc.constantFrom(8, 90, 900, 1_472));
  const pushes = fc.record({
    count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 44 })),
    size: sizes,
    last: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 1_000 })),
    isOther: fc.boolean(),
    of: fc.constantFrom(0, 1),
    isFlushed: fc.constantFrom(false, false, false, false, true),
  });

  it.each([true, false])('arrives once, whole and in order at each destination; UDP_SEGMENT: %s', (isOn) => {
    fc.assert(
      fc.property(fc.array(pushes, { maxLength: 40, size: 'max' }), (all) => {
        const { fds, port } = openReceivers();
        const { queue, pushRun, counters, drops, refusals } = newQueue(port, { isOn });
        const wanted: string[][] = [[], []];
        let [packets, bytes] = [0, 0];
        for (const [i, { count, size, last, isOther, of, isFlushed }] of all.entries()) {
          const lengths = [...repeat(count, size), ...(last > 0 && last < size ? [Math.max(last, 8)] : [])];
          const texts = textsOf(lengths, `${i}:`);
          pushRun(texts, isOther ? OTHER : ONE, segment(of));
          wanted[isOther ? 1 : 0]?.push(...texts);
          packets += texts.length;
          bytes += texts.reduce((sum, { length }) => sum + length - 8, 0);
          if (isFlushed) queue.flush();
        }
        queue.flush();
        expect(fds.map(receiveAll)).toEqual(wanted);
        expect([counters.packets(), counters.bytes(), drops(0), drops(1), refusals]).toEqual([
          packets,
          bytes,
          {},
          {},
          [],
        ]);
        for (const fd of fds) close(fd);
        closeAll();
      }),
      { numRuns: 60 },
    );
  });
});
