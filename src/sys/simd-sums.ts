import { readFileSync } from 'node:fs';
import { type OctetSums, portableSums } from '../wire/octet-sums.ts';
import type { Slab } from './slab.ts';

/** Compiled from assembly/ by `npm run build`. The path is the same from src/sys/, where tests run, as from dist/sys/. */
const MODULE = new URL('../../dist/wire/octet-sums.wasm', import.meta.url);

/** Sums over a slab: by SIMD, or in JavaScript without SIMD. */
export function octetSums(slab: Slab): OctetSums {
  return simdSums(slab) ?? portableSums(slab.bytes);
}

/** Sums over a slab by SIMD. Undefined if the processor does not support it: x86 without SSE 4.1. */
export function simdSums(slab: Slab): OctetSums | undefined {
  const octets = readFileSync(MODULE);
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(octets);
  } catch (error) {
    if (error instanceof WebAssembly.CompileError) return undefined;
    throw error;
  }
  // The exports themselves, since a call through a wrapper would cost as much as a short sum.
  return new WebAssembly.Instance(module, { env: { memory: slab.memory } }).exports as unknown as OctetSums;
}
