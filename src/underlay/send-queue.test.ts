/** The queue of one source port, over real sockets of loopback. Runs of datagrams have a file of their own. */
import { afterEach, describe, expect, it } from 'vitest';
import { closeAll, newQueue, Receiver, segment } from './send-queue-rig.ts';

/** Nothing listens there. */
const SILENT = '127.4.0.9';
/** More than one message array holds. */
const MANY = 150;
/** Fits a UDP length field, and with its headers no IPv4 packet. */
const TOO_LONG = 65_520;

afterEach(closeAll);

describe('a send queue', () => {
  it('sends each datagram whole to its own destination, in order, once it is flushed', async () => {
    const one = await Receiver.open('127.4.0.2');
    const other = await Receiver.open('127.4.0.3', one.port);
    const { queue, push } = newQueue(one.port);
    expect(queue.isEmpty).toBe(true);
    push('header--first', '127.4.0.2');
    push('header--second', '127.4.0.3');
    push('header--third, longer', '127.4.0.2');
    expect(queue.isEmpty).toBe(false);
    queue.flush();
    expect(queue.isEmpty).toBe(true);
    expect(await one.hasReceived(2)).toEqual(['header--first', 'header--third, longer']);
    expect(await other.hasReceived(1)).toEqual(['header--second']);
  });

  it('sends nothing twice', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push } = newQueue(receiver.port);
    push('header--a', '127.4.0.2');
    queue.flush();
    queue.flush();
    push('header--b', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(2)).toEqual(['header--a', 'header--b']);
  });

  it('counts what was sent by segment, in inner octets', () => {
    const { queue, push, counters } = newQueue(9);
    push('12345678', SILENT, segment(0));
    push('12345678abc', SILENT, segment(2));
    queue.flush();
    expect(counters.passed).toEqual([
      { segment: 0, bytes: 0, packets: 1 },
      { segment: 2, bytes: 3, packets: 1 },
    ]);
  });

  it('counts what was sent by destination likewise, and what could not be', () => {
    const { queue, push, pushLength, vtep } = newQueue(9);
    push('12345678', SILENT);
    push('12345678abc', '127.4.0.8');
    push('12345678abcd', '127.4.0.8');
    pushLength(TOO_LONG, '127.4.0.8');
    queue.flush();
    expect(vtep(SILENT)).toMatchObject({ txPackets: 1, txBytes: 0, drops: 0 });
    expect(vtep('127.4.0.8')).toMatchObject({ txPackets: 2, txBytes: 7, drops: 1, rxPackets: 0 });
  });

  it(`takes ${MANY} datagrams between two flushes and loses none`, async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, drops } = newQueue(receiver.port);
    const texts = Array.from({ length: MANY }, (_, i) => `header--${i}`);
    for (const text of texts) push(text, '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(MANY)).toEqual(texts);
    expect([counters.packets(), drops()]).toEqual([MANY, {}]);
  });
});

describe('a datagram that cannot be sent', () => {
  it('for its length counts as oversize, in its own segment, and the ones around it go out', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, pushLength, counters, drops } = newQueue(receiver.port);
    push('header--before', '127.4.0.2');
    pushLength(TOO_LONG, '127.4.0.2', segment(1));
    pushLength(TOO_LONG + 1, '127.4.0.2', segment(1));
    push('header--between', '127.4.0.2');
    pushLength(70_000, '127.4.0.2', segment(1));
    push('header--after', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(3)).toEqual(['header--before', 'header--between', 'header--after']);
    expect([drops(0), drops(1)]).toEqual([{}, { oversize: 3 }]);
    expect(counters.packets()).toBe(3);
  });

  it('tells the MTU that the kernel found, for its destination alone, and again each time', () => {
    const { queue, push, pushLength, pathMtus } = newQueue(9);
    push('header--fits', SILENT);
    queue.flush();
    expect(pathMtus).toEqual([]);
    for (let round = 1; round <= 2; round++) {
      pushLength(TOO_LONG, '127.4.0.2');
      queue.flush();
      // Tried in its batch, by itself, and once more by itself; loopback's MTU, as far as a packet has a length.
      expect(pathMtus).toEqual(Array(3 * round).fill([0x7f04_0002, 65_535]));
    }
  });

  it('to nowhere counts as send-error, and the ones around it go out', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, drops } = newQueue(receiver.port);
    push('header--before', '127.4.0.2');
    // A broadcast without SO_BROADCAST is EACCES.
    push('header--broadcast', '255.255.255.255');
    push('header--after', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(2)).toEqual(['header--before', 'header--after']);
    expect(drops()).toEqual({ 'send-error': 1 });
  });
});

describe('an ICMP error about one destination', () => {
  it('does not lose the next datagram, to whomever that is', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, drops } = newQueue(receiver.port);
    for (let round = 0; round < 5; round++) {
      // Port unreachable comes back at once, and fails the next send of this socket.
      push(`header--lost ${round}`, SILENT);
      queue.flush();
      push(`header--${round}`, '127.4.0.2');
      queue.flush();
    }
    expect(await receiver.hasReceived(5)).toEqual([0, 1, 2, 3, 4].map((round) => `header--${round}`));
    expect([counters.packets(), drops()]).toEqual([10, {}]);
  });

  it('does not lose any of a batch in which every second one brings another error', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, counters, drops } = newQueue(receiver.port);
    for (let i = 0; i < 60; i++) push(`header--${i}`, i % 2 ? '127.4.0.2' : SILENT);
    queue.flush();
    expect(await receiver.hasReceived(30)).toEqual(Array.from({ length: 30 }, (_, i) => `header--${2 * i + 1}`));
    expect([counters.packets(), drops()]).toEqual([60, {}]);
  });

  it('is not taken for the datagram’s own fault, nor hides that', async () => {
    const receiver = await Receiver.open('127.4.0.2');
    const { queue, push, pushLength, drops } = newQueue(receiver.port);
    push('header--lost', SILENT);
    queue.flush();
    pushLength(TOO_LONG, '127.4.0.2');
    push('header--after', '127.4.0.2');
    queue.flush();
    expect(await receiver.hasReceived(1)).toEqual(['header--after']);
    expect(drops()).toEqual({ oversize: 1 });
  });
});
